"""IBM Telco Customer Churn: 7,043 customers of a fictional company, one quarter of whom left.

Eleven customers have a blank `TotalCharges`; their tenure is 0, so they have not been billed yet. The blank stays a
missing value (NaN): filling in 0 would say they had been billed nothing, dropping them would drop the newest
customers. (The predecessor dropped them: 7,032 rows.)
"""

import pandas as pd

from retentionjax.data.reading import read_csv
from retentionjax.data.schema import Schema
from retentionjax.data.validation import validate

_YES_NO = ("No", "Yes")
_PHONE = ("No phone service", "No", "Yes")
_INTERNET = ("No internet service", "No", "Yes")

SCHEMA = Schema(
    name="telco",
    id="customerID",
    label="Churn",
    positive="Yes",
    negative="No",
    charge="MonthlyCharges",
    tenure="tenure",
    numeric=("tenure", "MonthlyCharges", "TotalCharges"),
    categorical={
        "gender": ("Female", "Male"),
        "SeniorCitizen": ("0", "1"),
        "Partner": _YES_NO,
        "Dependents": _YES_NO,
        "PhoneService": _YES_NO,
        "MultipleLines": _PHONE,
        "InternetService": ("No", "DSL", "Fiber optic"),
        "OnlineSecurity": _INTERNET,
        "OnlineBackup": _INTERNET,
        "DeviceProtection": _INTERNET,
        "TechSupport": _INTERNET,
        "StreamingTV": _INTERNET,
        "StreamingMovies": _INTERNET,
        "Contract": ("Month-to-month", "One year", "Two year"),
        "PaperlessBilling": _YES_NO,
        "PaymentMethod": (
            "Electronic check",
            "Mailed check",
            "Bank transfer (automatic)",
            "Credit card (automatic)",
        ),
    },
    nullable=("TotalCharges",),
)


def read(data: bytes, where: str) -> pd.DataFrame:
    """The official CSV as the frame of a Table. Raises DataError for anything that does not fit SCHEMA."""
    return validate(read_csv(data, where), SCHEMA)

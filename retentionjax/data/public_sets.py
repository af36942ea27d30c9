"""The public data sets: what their columns mean, and how each official file is read."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from retentionjax.data.reading import read_csv
from retentionjax.data.schema import LEAKS, Schema
from retentionjax.data.validation import validate

# --- telco ------------------------------------------------------------------------------------------------------------

# IBM Telco Customer Churn: 7,043 customers of a fictional company, one quarter of whom left.
#
# Eleven customers have a blank `TotalCharges`; their tenure is 0, so they have not been billed yet. The blank stays a
# missing value (NaN): filling in 0 would say they had been billed nothing, dropping them would drop the newest
# customers. (The predecessor dropped them: 7,032 rows.)

_YES_NO = ("No", "Yes")
_PHONE = ("No phone service", "No", "Yes")
_INTERNET = ("No internet service", "No", "Yes")

TELCO = Schema(
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


# --- bank -------------------------------------------------------------------------------------------------------------

# UCI Bank Marketing: 41,188 phone calls of a Portuguese bank, 2008 to 2010, in the order they were made.
#
# `duration` is dropped while reading: it is known only after the call (schema.LEAKS refuses it everywhere). `pdays`
# 999 means the client was never contacted before and becomes a missing value. Twelve rows of the file repeat
# another one (1,784 without `duration`); the table has no ids, so they may well be other clients with the same facts:
# they stay, are counted in the catalog, and the splits keep rows with equal features together. The set has
# one product and no discounts: there is no offer column, and none is made up.

NEVER_CONTACTED = 999
"""The `pdays` of a client whom no earlier campaign contacted."""

_YES_NO_UNKNOWN = ("no", "yes", "unknown")

BANK = Schema(
    name="bank",
    label="y",
    positive="yes",
    negative="no",
    numeric=(
        "age",
        "campaign",
        "pdays",
        "previous",
        "emp.var.rate",
        "cons.price.idx",
        "cons.conf.idx",
        "euribor3m",
        "nr.employed",
    ),
    categorical={
        "job": (
            *("admin.", "blue-collar", "entrepreneur", "housemaid", "management", "retired", "self-employed"),
            *("services", "student", "technician", "unemployed", "unknown"),
        ),
        "marital": ("divorced", "married", "single", "unknown"),
        "education": (
            *("illiterate", "basic.4y", "basic.6y", "basic.9y", "high.school", "professional.course"),
            *("university.degree", "unknown"),
        ),
        "default": _YES_NO_UNKNOWN,
        "housing": _YES_NO_UNKNOWN,
        "loan": _YES_NO_UNKNOWN,
        "contact": ("cellular", "telephone"),
        "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        "day_of_week": ("mon", "tue", "wed", "thu", "fri"),
        "poutcome": ("nonexistent", "failure", "success"),
    },
    nullable=("pdays",),
)


# --- hillstrom --------------------------------------------------------------------------------------------------------

# Hillstrom's e-mail experiment: 64,000 customers, each sent one of two e-mails or none, by lot (1/3 each).
#
# A real randomised trial, so differences between arms are effects. It has no ids, and 6,562 rows repeat another one,
# which is to be expected of so few facts about so many people: they stay.

HILLSTROM_PROPENSITY = 1 / 3
"""Propensity of each arm, for every customer, by the design of the experiment."""

HILLSTROM = Schema(
    name="hillstrom",
    label="visit",
    numeric=("recency", "history"),
    categorical={
        "history_segment": (
            *("1) $0 - $100", "2) $100 - $200", "3) $200 - $350", "4) $350 - $500", "5) $500 - $750"),
            *("6) $750 - $1,000", "7) $1,000 +"),
        ),
        "mens": ("0", "1"),
        "womens": ("0", "1"),
        "zip_code": ("Rural", "Surburban", "Urban"),  # the file's own spelling
        "newbie": ("0", "1"),
        "channel": ("Multichannel", "Phone", "Web"),
    },
    treatment="segment",
    arms=("No E-Mail", "Mens E-Mail", "Womens E-Mail"),
    outcome="visit",
    measures=("conversion", "spend"),
)


# --- all of them ------------------------------------------------------------------------------------------------------

SCHEMAS: Mapping[str, Schema] = {"telco": TELCO, "bank": BANK, "hillstrom": HILLSTROM}


def read(name: str, data: bytes, where: str) -> pd.DataFrame:
    """An official CSV as the frame of a Table, in the order of the file; `where` it is from is named in errors.

    Raises DataError for anything that does not fit the schema.
    """
    raw = read_csv(data, where, separator=";" if name == "bank" else ",")
    frame = validate(raw, SCHEMAS[name], ignore=tuple(LEAKS.get(name, ())))
    if name == "bank":
        frame["pdays"] = frame["pdays"].where(frame["pdays"] != NEVER_CONTACTED, np.nan)
    return frame

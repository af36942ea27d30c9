"""One customer's facts from JSON."""

import json
import math
from collections.abc import Callable

import pandas as pd
import pytest

from retentionjax import data
from retentionjax.data import telco
from retentionjax.data.record import record_frame, validate_record
from retentionjax.data.schema import Schema
from retentionjax.data.table import Table
from retentionjax.errors import DataError

CUSTOMER: dict[str, object] = {
    "customerID": "7590-VHVEG",
    "tenure": 1,
    "MonthlyCharges": 29.85,
    "TotalCharges": 29.85,
    "gender": "Female",
    "SeniorCitizen": 0,
    "Partner": "Yes",
    "Dependents": "No",
    "PhoneService": "No",
    "MultipleLines": "No phone service",
    "InternetService": "DSL",
    "OnlineSecurity": "No",
    "OnlineBackup": "Yes",
    "DeviceProtection": "No",
    "TechSupport": "No",
    "StreamingTV": "No",
    "StreamingMovies": "No",
    "Contract": "Month-to-month",
    "PaperlessBilling": "Yes",
    "PaymentMethod": "Electronic check",
}


def test_facts_come_back_typed() -> None:
    facts = validate_record(telco.SCHEMA, CUSTOMER, where="customer.json")
    assert facts["tenure"] == 1.0
    assert isinstance(facts["tenure"], float)
    assert facts["SeniorCitizen"] == "0"
    assert facts["customerID"] == "7590-VHVEG"


def test_null_is_missing_where_the_schema_allows_it() -> None:
    facts = validate_record(telco.SCHEMA, {**CUSTOMER, "TotalCharges": None}, where="customer.json")
    assert math.isnan(float(facts["TotalCharges"]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tenure": None}, "field 'tenure': None is not a number; allowed: a finite number"),
        ({"tenure": "12"}, "field 'tenure': '12' is not a number"),
        ({"tenure": True}, "field 'tenure': True is not a number"),
        ({"tenure": math.nan}, "field 'tenure': nan is not finite"),
        ({"tenure": 10**400}, "field 'tenure': 1000000000000000000000000000000000000000 is not finite"),
        ({"MonthlyCharges": math.inf}, "field 'MonthlyCharges': inf is not finite; allowed: dollars above 0"),
        ({"MonthlyCharges": 0}, "field 'MonthlyCharges': 0; allowed: dollars above 0"),
        ({"Contract": "Weekly"}, "field 'Contract': 'Weekly' is an unknown category; allowed: 'Month-to-month'"),
        ({"Contract": None}, "field 'Contract': None is not text"),
        ({"SeniorCitizen": False}, "field 'SeniorCitizen': False is not text"),
        ({"SeniorCitizen": 2}, "field 'SeniorCitizen': 2 is an unknown category"),
        ({"customerID": ""}, "field 'customerID': '' is no id"),
        ({"customerID": 1.5}, "field 'customerID': 1.5 is no id"),
        ({"Churn": "No"}, "unknown field 'Churn'; allowed: customerID"),
        ({"risk": 0.9}, "unknown field 'risk'"),
    ],
)
def test_a_wrong_fact_is_told_with_its_field(change: dict[str, object], said: str) -> None:
    with pytest.raises(DataError) as raised:
        validate_record(telco.SCHEMA, {**CUSTOMER, **change}, where="customer.json")
    assert said in str(raised.value)
    assert str(raised.value).startswith("customer.json")


@pytest.mark.parametrize("name", list(CUSTOMER))
def test_every_field_is_needed(name: str) -> None:
    record = {key: value for key, value in CUSTOMER.items() if key != name}
    with pytest.raises(DataError, match=f"the field '{name}' is missing"):
        validate_record(telco.SCHEMA, record, where="customer.json")


def test_a_record_is_the_row_of_the_table_it_came_from(real_table: Callable[[str], Table]) -> None:
    """Training and serving see the same frame: every Telco row once through JSON and back."""
    frame = real_table("telco").frame.iloc[:1_000]
    fields = [name for name in frame.columns if name != "Churn"]
    records = json.loads(frame[fields].to_json(orient="records"))
    facts = [validate_record(telco.SCHEMA, record, where="row") for record in records]
    pd.testing.assert_frame_equal(record_frame(telco.SCHEMA, facts), frame[fields])


def test_a_schema_survives_json() -> None:
    for schema in data.SCHEMAS.values():
        assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "manifest: unknown key 'colour'; allowed: arms"),
        ({"numeric": "tenure"}, "manifest: 'numeric' must be a list"),
        ({"numeric": [1]}, "manifest: 'numeric' must hold text, not 1"),
        ({"categorical": ["a"]}, "manifest: 'categorical' must map"),
        ({"name": None}, "manifest: 'name' must hold text"),
        ({"numeric": []}, "manifest: schema 'telco': "),
    ],
)
def test_a_damaged_schema_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(DataError) as raised:
        Schema.from_dict({**telco.SCHEMA.to_dict(), **change}, where="manifest")
    assert said in str(raised.value)


def test_a_schema_without_a_name_is_refused() -> None:
    plain = telco.SCHEMA.to_dict()
    del plain["name"]
    with pytest.raises(DataError, match="the key 'name' is missing"):
        Schema.from_dict(plain)

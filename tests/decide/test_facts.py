"""Facts as numbers: the models' own encoding, from a record, a frame and Arrow columns; what does not fit is named."""

import gc
import math
import unicodedata
import weakref
from dataclasses import replace

import bundles
import customer_tables
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.data.schema import Schema
from retentionjax.decide.facts import Facts, as_frame
from retentionjax.errors import DataError
from retentionjax.tabular.encoder import Encoder


@pytest.fixture(scope="module")
def encoder(bundle) -> Facts:
    return Facts(bundle.schema)


def batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def one(**columns) -> pa.RecordBatch:
    good = {"customer_id": "A", "months": 3.0, "bill": 50.0, "plan": "plus", "age": 30, "channel": "mail"}
    return pa.RecordBatch.from_pylist([good, good | columns, good])


def test_columns_are_those_of_the_records(encoder):
    table = customer_tables.table(500)
    features, faults = encoder.table(batch(table))
    records = table.drop_columns("city").to_pylist()
    expected = encoder.records(records)
    assert faults == []
    assert features.customer_id == expected.customer_id
    np.testing.assert_array_equal(features.values, expected.values)
    np.testing.assert_array_equal(features.monthly_charge, expected.monthly_charge)


def test_frames_put_together_are_read_as_one(encoder):
    whole = customer_tables.table(90).to_pandas().astype(dict.fromkeys(("customer_id", "plan", "channel"), "str"))
    together = encoder.frame(pd.concat([whole[:40], whole[40:]]))
    alone = encoder.frame(customer_tables.table(90).to_pandas())
    assert together.customer_id == alone.customer_id
    np.testing.assert_array_equal(together.values, alone.values)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=["text", "large", "dictionary"]
)
def test_text_may_be_stored_in_any_way(encoder, kind):
    plain = customer_tables.table(60)
    other = plain
    for name in ("plan", "channel"):
        place = other.column_names.index(name)
        other = other.set_column(place, name, other[name].combine_chunks().cast(kind))
    encoder.check(other.schema, "here")
    np.testing.assert_array_equal(encoder.table(batch(other))[0].values, encoder.table(batch(plain))[0].values)


@pytest.mark.parametrize(
    ("column", "value", "wrong"),
    [
        ("customer_id", None, "is missing"),
        ("customer_id", "  ", "is missing"),
        ("bill", None, "is missing"),
        ("bill", 0.0, "is out of range"),
        ("bill", -3.0, "is out of range"),
        ("bill", math.inf, "is not finite, or too large"),
        ("months", math.inf, "is not finite, or too large"),
        ("months", 1e39, "is not finite, or too large"),
        ("age", None, "is missing"),
        ("plan", None, "is missing"),
        ("plan", "", "is missing"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_left_out(encoder, column, value, wrong):
    features, faults = encoder.table(one(**{column: value}))
    assert [(row, fault.field, fault.wrong) for row, fault in faults] == [(1, column, wrong)]
    assert len(features.customer_id) == len(features.values) == len(features.monthly_charge) == 2
    assert repr("" if value is None else str(value)) in str(faults[0][1])


def test_a_missing_value_is_read_where_the_schema_allows_it(encoder):
    for value in (None, math.nan):
        features, faults = encoder.table(one(months=value))
        assert faults == []
        assert np.isnan(features.values[1, 0])


def test_an_unseen_category_is_the_same_other_to_records_columns_frames_and_models(bundle, encoder):
    table = customer_tables.table(80, plan=["basic", "gold", "plus", "plus"] * 20)
    features, faults = encoder.table(batch(table))
    assert faults == []
    place = bundle.schema.features.index("plan")
    assert np.isnan(features.values[:, place]).tolist() == [False, True, False, False] * 20
    records = table.drop_columns("city").to_pylist()
    np.testing.assert_array_equal(encoder.records(records).values, features.values)
    frame = as_frame(bundle.schema, features)
    again = encoder.frame(frame)
    np.testing.assert_array_equal(again.values, features.values)
    assert again.customer_id == features.customer_id
    for model in (bundle.churn, bundle.acceptance):
        places = [bundle.schema.features.index(name) for name in model.encoder.features]
        np.testing.assert_array_equal(features.values[:, places].astype(np.float32), model.encode(frame))


def test_whole_numbers_may_be_ids(encoder):
    batch = pa.RecordBatch.from_pylist(
        [{"customer_id": 7, "months": 3, "bill": 50, "plan": "plus", "age": 30, "channel": "mail"}]
    )
    encoder.check(batch.schema, "here")
    assert encoder.table(batch)[0].customer_id == ("7",)


def test_columns_of_every_type_that_training_takes_are_read_as_training_does() -> None:
    """Bools, whole numbers with gaps (floats to pandas), and texts with spaces around them."""
    rows, nothing = 60, {"id": "id", "charge": "fee", "left": "gone", "window_days": 30, "offers": {"hello": {}}}
    table = pd.DataFrame({"id": [f"c{n}" for n in range(rows)], "fee": 20.0, "gone": [0, 1] * (rows // 2)})
    table = table.assign(vip=[True, False, False] * 20, tier=[1.0, 2.0, None] * 20, plan=["a", "b "] * 30)
    table = table.assign(flag=[True, False] * 30)
    company = Company(
        table,
        numeric=["flag"],
        categorical={"vip": "infer", "tier": "infer", "plan": "infer"},
        nullable=["tier"],
        **nothing,
    )
    learnt = company_tables.read(company).customers
    assert dict(learnt.schema.categorical) == {"vip": ("0", "1"), "tier": ("1", "2"), "plan": ("a", "b")}
    served = Facts(learnt.schema).frame(table.drop(columns="gone"))
    encoder = Encoder(learnt.schema.numeric, learnt.schema.categorical, learnt.schema.nullable)
    np.testing.assert_array_equal(served.values, encoder.encode(learnt.frame))
    assert served.unseen == {}


def test_rows_with_a_category_that_training_never_saw_are_counted_by_column(encoder: Facts) -> None:
    table = customer_tables.table(4, plan=["basic", "gold", " plus", "gold"], age=[30, None, 40, 50])
    features, faults = encoder.table(batch(table))
    assert len(faults) == 1  # an age is missing: that row is not decided about
    assert features.unseen == {"plan": 1}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"plan": [1.5] * 3}, r"here, column 'plan': holds double; allowed: text or whole numbers"),
        ({"age": ["old"] * 3}, r"here, column 'age': holds string; allowed: numbers"),
        ({"bill": [True] * 3}, r"here, column 'bill': holds bool; allowed: numbers"),
    ],
)
def test_a_column_of_the_wrong_type_is_refused(encoder, columns, message):
    with pytest.raises(DataError, match=message):
        encoder.check(customer_tables.table(3, **columns).schema, "here")
    with pytest.raises(DataError, match="the column 'age' is missing"):
        encoder.check(customer_tables.table(3).drop_columns("age").schema, "here")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"months": "3"}, "field 'months': '3' is not a number; allowed: a finite number or null"),
        ({"months": math.nan}, "field 'months': nan is not finite"),
        ({"months": True}, "field 'months': True is not a number"),
        ({"months": 10**400}, "field 'months': 1000000"),
        ({"months": -1e39}, "field 'months': -1e+39 is not finite, or too large"),
        ({"bill": 0}, "field 'bill': 0 is out of range; allowed: money, 1e-06 to 1,000,000,000"),
        ({"bill": math.inf}, "field 'bill': inf is not finite"),
        ({"bill": 2e9}, "field 'bill': 2000000000.0 is out of range"),
        ({"bill": "12"}, "field 'bill': '12' is not a number"),
        ({"plan": ""}, "field 'plan': '' is missing; allowed: 'basic', 'plus'"),
        ({"plan": None}, "field 'plan': None may not be null"),
        ({"plan": ["basic"]}, "field 'plan': ['basic'] is not text"),
        ({"plan": False}, "field 'plan': False is not text"),
        ({"age": None}, "field 'age': None may not be null"),
        ({"customer_id": " "}, "field 'customer_id': ' ' is no id"),
        ({"customer_id": 1.5}, "field 'customer_id': 1.5 is no id"),
        ({"colour": "red"}, "unknown field 'colour'; allowed: customer_id"),
    ],
)
def test_what_a_record_may_not_hold_is_named(encoder: Facts, change: dict[str, object], said: str) -> None:
    with pytest.raises(DataError) as error:
        encoder.records([bundles.CUSTOMER | change], where="customer.json")
    assert str(error.value).startswith("customer.json")
    assert said in str(error.value)
    (fault,) = encoder.faults(bundles.CUSTOMER | change)
    assert fault.field == next(iter(change))


def test_a_missing_field_is_named_even_if_another_one_takes_its_place(encoder: Facts) -> None:
    record = {**bundles.CUSTOMER, "colour": "red"}
    del record["months"]
    assert {each.field for each in encoder.faults(record)} == {"colour", "months"}
    del record["colour"]
    with pytest.raises(DataError, match="the field 'months' is missing"):
        encoder.records([record])


def test_null_is_missing_where_the_schema_allows_it_and_whole_numbers_are_ids(encoder: Facts) -> None:
    features = encoder.records([bundles.CUSTOMER | {"customer_id": 17, "months": None}])
    assert features.customer_id == ("17",)
    assert np.isnan(features.values[0, 0])


def test_whole_numbers_may_name_categories_and_truths_may_not() -> None:
    schema = Schema(name="s", id="id", charge="fee", numeric=("fee",), categorical={"senior": ("0", "1")})
    facts = Facts(schema)
    row: dict[str, object] = {"id": "A", "fee": 20, "senior": 1}
    for whole in (1, 1.0):
        assert facts.records([row | {"senior": whole}]).values.tolist() == [[20.0, 1.0]]
    for wrong in (True, 1.5, float("nan"), float("inf")):
        with pytest.raises(DataError, match="is not text"):
            facts.records([row | {"senior": wrong}])


def test_an_accent_is_the_same_however_it_is_encoded():
    schema = Schema(
        "customers", id="customer_id", charge="bill", numeric=("bill",), categorical={"régión": ("plüs", "b")}
    )
    facts = Facts(schema)
    customer = {"customer_id": "A", "bill": 50.0, "régión": "plüs"}
    odd = {unicodedata.normalize("NFD", name): value for name, value in customer.items()}
    odd = {
        name: unicodedata.normalize("NFD", value) if isinstance(value, str) else value for name, value in odd.items()
    }
    assert odd != customer
    expected = facts.records([customer]).values
    np.testing.assert_array_equal(facts.records([odd]).values, expected)
    framed = facts.frame(pd.DataFrame([odd]))
    np.testing.assert_array_equal(framed.values, expected)
    assert framed.unseen == {}
    for read in (lambda record: facts.records([record]), lambda record: facts.frame(pd.DataFrame([record]))):
        with pytest.raises(DataError, match="are the same name, 'régión'; allowed: every name once"):
            read(odd | customer)


def test_a_bundle_has_one_reader_which_says_what_its_own_company_says(decider) -> None:
    bundle = decider.bundle
    reader = Facts.of(bundle)
    assert Facts.of(bundle) is decider.facts is reader
    renamed = replace(bundle, company=replace(bundle.company, customers=replace(bundle.company.customers, id="who")))
    assert Facts.of(renamed).row({"who": "A", **{n: v for n, v in bundles.CUSTOMER.items() if n != "customer_id"}})
    with pytest.raises(DataError, match="who"):
        Facts.of(bundle).row({"who": "A", **bundles.CUSTOMER})
    gone = weakref.ref(renamed)
    del renamed
    gc.collect()
    assert gone() is None  # a service that changes its bundle does not keep the old one

"""Columns as numbers: what a row's own encoder gives, and a reason for each row that has none."""

import math

import customer_tables
import numpy as np
import pyarrow as pa
import pytest

from retentionjax.decide.batch_encoding import RowEncoder
from retentionjax.errors import DataError
from retentionjax.score.encoding import ColumnEncoder


@pytest.fixture(scope="module")
def encoder(bundle) -> ColumnEncoder:
    return ColumnEncoder(bundle)


def batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def one(**columns) -> pa.RecordBatch:
    good = {"customer_id": "A", "months": 3.0, "bill": 50.0, "plan": "plus", "age": 30, "channel": "mail"}
    return pa.RecordBatch.from_pylist([good, good | columns, good])


def test_rows_are_those_of_the_row_encoder(bundle, encoder):
    table = customer_tables.table(500)
    features, faults = encoder.encode(batch(table))
    records = table.drop_columns("city").to_pylist()
    expected = RowEncoder(bundle).records(records)
    assert faults == []
    assert features.customer_id == expected.customer_id
    np.testing.assert_array_equal(features.values, expected.values)
    np.testing.assert_array_equal(features.monthly_charge, expected.monthly_charge)


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
    np.testing.assert_array_equal(encoder.encode(batch(other))[0].values, encoder.encode(batch(plain))[0].values)


@pytest.mark.parametrize(
    ("column", "value", "wrong"),
    [
        ("customer_id", None, "is missing"),
        ("customer_id", "  ", "is missing"),
        ("bill", None, "is missing"),
        ("bill", 0.0, "is out of range"),
        ("bill", -3.0, "is out of range"),
        ("bill", math.inf, "is not finite"),
        ("months", math.inf, "is not finite"),
        ("months", 1e39, "is not finite"),
        ("age", None, "is missing"),
        ("plan", None, "is missing"),
        ("plan", "", "is missing"),
        ("plan", "gold", "is an unknown category"),
        ("channel", "Mail", "is an unknown category"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_left_out(encoder, column, value, wrong):
    features, faults = encoder.encode(one(**{column: value}))
    assert [(fault.row, fault.column, fault.wrong) for fault in faults] == [(1, column, wrong)]
    assert len(features.customer_id) == len(features.values) == len(features.monthly_charge) == 2
    assert repr("" if value is None else value) in str(faults[0])


def test_a_missing_value_is_read_where_the_schema_allows_it(encoder):
    for value in (None, math.nan):
        features, faults = encoder.encode(one(months=value))
        assert faults == []
        assert np.isnan(features.values[1, 0])


def test_whole_numbers_may_be_ids(encoder):
    batch = pa.RecordBatch.from_pylist(
        [{"customer_id": 7, "months": 3, "bill": 50, "plan": "plus", "age": 30, "channel": "mail"}]
    )
    encoder.check(batch.schema, "here")
    assert encoder.encode(batch)[0].customer_id == ("7",)


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

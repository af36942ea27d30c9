"""Splits: exact shares, alike in label and charge, customers whole, the same everywhere."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retentionjax.data import splits, synthetic
from retentionjax.data.schema import Provenance, Schema, Table, typed
from retentionjax.data.splits import split
from retentionjax.errors import DataError

_SCHEMA = Schema(
    name="toy",
    id="id",
    label="y",
    charge="charge",
    tenure="tenure",
    numeric=("tenure",),
    categorical={"plan": ("a", "b")},
)
_NO_IDS = Schema(name="toy", label="y", numeric=("tenure",), categorical={"plan": ("a", "b")})


def _table(rows: int, schema: Schema = _SCHEMA, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "id": [f"c{number}" for number in range(rows)],
        "y": rng.integers(0, 2, rows),
        "charge": rng.lognormal(4, 1, rows),
        "tenure": rng.integers(0, 5, rows),
        "plan": rng.choice(["a", "b"], rows),
    }
    provenance = Provenance("synthetic", "test", "0" * 64, "none", rows)
    return Table("toy", typed(schema, {name: columns[name] for name in schema.columns}), schema, provenance)


def _parts(table: Table, seed: int = 42) -> dict[str, np.ndarray]:
    cut = split(table, seed)
    return {name: getattr(cut, name) for name in splits.NAMES}


@settings(max_examples=20)
@given(st.integers(10, 400), st.integers(0, 5))
def test_every_row_is_in_one_split_and_the_shares_are_80_10_10(rows: int, seed: int) -> None:
    parts = _parts(_table(rows), seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(rows))
    assert len(parts["validation"]) == len(parts["test"]) == rows // 10


@settings(max_examples=20)
@given(st.integers(10, 200))
def test_the_order_of_the_rows_has_no_say(rows: int) -> None:
    table = _table(rows)
    order = np.random.default_rng(rows).permutation(rows)
    shuffled = Table("toy", table.frame.iloc[order].reset_index(drop=True), _SCHEMA, table.provenance)
    parts = _parts(shuffled)
    for name, part in _parts(table).items():
        there = shuffled.frame["id"].iloc[parts[name]]
        assert set(table.frame["id"].iloc[part]) == set(there)


@given(st.integers(60, 300), st.integers(0, 3))
def test_rows_with_the_same_facts_stay_together_where_there_are_no_ids(rows: int, seed: int) -> None:
    table = _table(rows, _NO_IDS, seed)  # ten different sets of facts at most
    cut = splits.customer_keys(table)
    if len(set(cut)) < 10:
        with pytest.raises(DataError, match="customers cannot be split 80/10/10; allowed: 10 or more"):
            split(table)
        return
    where: dict[str, set[str]] = {key: set() for key in cut}
    for name, part in _parts(table).items():
        for row in part:
            where[cut[row]].add(name)
    assert all(len(names) == 1 for names in where.values())


def test_another_seed_gives_another_split_and_the_same_seed_the_same() -> None:
    table = _table(500)
    np.testing.assert_array_equal(_parts(table, 42)["test"], _parts(table, 42)["test"])
    assert set(_parts(table, 42)["test"]) != set(_parts(table, 43)["test"])


def test_the_split_of_a_known_table_is_the_same_on_every_machine() -> None:
    """A digest taken once; it changes only if the method does, and then every prepared folder must."""
    columns: dict[str, Any] = {
        "id": [f"c{number}" for number in range(100)],
        "y": [int(number % 3 == 0) for number in range(100)],
        "charge": [10.0 + number * 7 % 90 for number in range(100)],
        "tenure": [float(number % 11) for number in range(100)],
        "plan": ["a" if number % 2 else "b" for number in range(100)],
    }
    table = Table("toy", typed(_SCHEMA, columns), _SCHEMA, Provenance("synthetic", "test", "", "", 100))
    parts = _parts(table)
    digest = hashlib.sha256(repr([part.tolist() for part in parts.values()]).encode()).hexdigest()
    assert digest[:16] == "9bc859a0f64df803"


def test_too_few_customers_are_an_error() -> None:
    with pytest.raises(DataError, match="9 customers cannot be split"):
        split(_table(9))


def test_held_out_customers_pay_and_leave_as_the_others_do() -> None:
    """Ten times closer than drawing 10 % at random: the standard error of a mean of 704 charges is $1.1."""
    table = synthetic.generate("telco")
    charge, label = table.frame["MonthlyCharges"], table.frame["Churn"]
    for part in _parts(table).values():
        assert charge.iloc[part].mean() == pytest.approx(charge.mean(), abs=0.12)
        assert label.iloc[part].mean() == pytest.approx(label.mean(), abs=0.003)
        assert table.frame["tenure"].iloc[part].mean() == pytest.approx(table.frame["tenure"].mean(), abs=0.7)


def test_telco_splits_are_alike(real_table: Callable[[str], Table]) -> None:
    table = real_table("telco")
    parts = _parts(table)
    assert [len(part) for part in parts.values()] == [5_635, 704, 704]
    for part in parts.values():
        rows = table.frame.iloc[part]
        assert rows["MonthlyCharges"].mean() == pytest.approx(64.76, abs=0.12)
        assert rows["MonthlyCharges"].quantile([0.1, 0.5, 0.9]).tolist() == pytest.approx(
            [20.05, 70.35, 102.6], abs=1.5
        )
        assert rows["Churn"].mean() == pytest.approx(0.2654, abs=0.003)
        risky = rows["MonthlyCharges"][rows["Churn"] == 1].mean()
        assert risky == pytest.approx(74.44, abs=0.4)


@pytest.mark.parametrize("name", ["bank", "hillstrom"])
def test_sets_without_ids_are_split_by_facts(real_table: Callable[[str], Table], name: str) -> None:
    table = real_table(name)
    parts = _parts(table)
    rows = len(table.frame)
    for part, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert len(parts[part]) / rows == pytest.approx(share, abs=0.005)
        rate = table.frame[table.schema.label].mean()
        assert table.frame[table.schema.label].iloc[parts[part]].mean() == pytest.approx(rate, abs=0.004)
    facts = pd.Series(splits.customer_keys(table))
    assert not set(facts.iloc[parts["train"]]) & set(facts.iloc[parts["test"]])
    if table.schema.treatment:
        arms = table.frame[table.schema.treatment].iloc[parts["test"]].value_counts(normalize=True)
        assert arms.tolist() == pytest.approx([1 / 3] * 3, abs=0.01)

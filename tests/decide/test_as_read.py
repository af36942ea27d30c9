"""A table that a run has learned from is decided about as it stands."""

import datetime as dt
import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from retentionjax.company import Company
from retentionjax.company.reading import CellReading
from retentionjax.data import company_tables
from retentionjax.decide.facts import Facts, as_frame
from retentionjax.errors import DataError

_READING = {"decimal": ",", "thousands": ".", "dates": "%d/%m/%Y", "missing": ["", "-999", "n/d"]}
_READING |= {"aliases": {"plan": {"Básico": "basic"}}}


def _raw() -> pd.DataFrame:
    """Three customers as a Brazilian gym exports them."""
    return pd.DataFrame(
        {
            "aluno": ["007", "008", "009"],
            "fee": ["R$ 1.299,00", "R$ 89,90", "129,90 BRL"],
            "since": ["25/05/2026", "01/01/2026", "31/12/2025"],
            "visits": ["7", "n/d", "1.200,5"],
            "calls": [3, -999, 0],
            "plan": ["Básico", "plus", "n/d"],
            "left": [0, 1, 0],
        }
    )


@pytest.fixture(scope="module")
def trained() -> tuple[Company, Facts, pd.DataFrame]:
    company = Company(
        _raw(),
        currency="BRL",
        id="aluno",
        charge="fee",
        left="left",
        window_days=30,
        snapshot=dt.date(2026, 6, 1),
        numeric=["visits", "calls"],
        categorical={"plan": ["basic", "plus"]},
        dates={"since": "days"},
        tenure="days",
        nullable=["visits", "calls", "plan"],
        reading=_READING,
        offers={"ten": {"discount": 0.1}},
    )
    learnt = company_tables.read(company).customers
    return company, Facts(learnt.schema, company.customers, company.currency), learnt.frame


def test_the_table_means_what_it_meant_in_training(trained: Any) -> None:
    _, facts, learnt = trained
    raw = _raw().assign(snapshot="01/06/2026")
    found = as_frame(facts.schema, facts.frame(raw))
    assert found["fee"].tolist() == [1299.0, 89.9, 129.9]
    for name in ("visits", "calls", "days"):
        np.testing.assert_array_equal(found[name], learnt[name])
    assert found["plan"].fillna("").tolist() == ["basic", "plus", ""]


@pytest.mark.parametrize(
    "change",
    [
        {"fee": [1299.0, 89.9, 129.9]},
        {"since": ["2026-05-25", "2026-01-01", "2025-12-31"]},
        {"since": [dt.date(2026, 5, 25), dt.date(2026, 1, 1), dt.date(2025, 12, 31)]},
        {"plan": pd.Categorical(["Básico", "plus", None])},
        {"visits": [7.0, None, 1200.5]},
    ],
    ids=["numbers", "ISO dates", "dates", "a categorical", "numbers with gaps"],
)
def test_typed_columns_mean_the_same(trained: Any, change: dict[str, Any]) -> None:
    _, facts, _ = trained
    raw = _raw().assign(snapshot="01/06/2026")
    wanted, found = facts.frame(raw), facts.frame(raw.assign(**change))
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.monthly_charge, wanted.monthly_charge)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fee": "R$ grátis"}, "row 1, field 'fee': 'R\\$ grátis' is not a number"),
        (
            {"since": "31/02/2026"},
            "'31/02/2026' is no date; allowed: a date of the form %d/%m/%Y",
        ),
        ({"visits": "seven"}, "row 1, field 'visits': 'seven' is not a number"),
        ({"since": "15/06/2026"}, "row 1, field 'days': '-14.0' is below 0; allowed: 0 or more: it is the tenure"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(trained: Any, change: dict[str, str], said: str) -> None:
    _, facts, _ = trained
    raw = _raw().assign(snapshot="01/06/2026")
    for name, value in change.items():
        raw.loc[1, name] = value
    with pytest.raises(DataError, match=said):
        facts.frame(raw)


def test_dates_of_two_forms_are_read_beside_each_other_and_beside_one_that_is_none(trained: Any) -> None:
    _, facts, _ = trained
    raw = _raw().assign(snapshot="01/06/2026", since=["25/05/2026", "2026-01-01", "32/12/2025"])
    read, faults = facts.table(pa.RecordBatch.from_pandas(raw, preserve_index=False))
    assert read.values[:, facts.schema.features.index("days")].tolist() == [7.0, 151.0]
    assert [(row, fault.field, fault.value) for row, fault in faults] == [(2, "since", "32/12/2025")]


_RECORD: dict[str, Any] = {"aluno": "7", "fee": 89.9, "plan": "basic", "visits": 1, "calls": 2, "since": "2026-05-25"}
_RECORD |= {"snapshot": "2026-06-01"}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"calls": -999}, {"calls": None}),
        ({"calls": -999.0}, {"calls": None}),
        ({"visits": "n/d"}, {"visits": None}),
        ({"plan": "n/d"}, {"plan": None}),
        ({"plan": "Básico"}, {"plan": "basic"}),
        ({"plan": " Ba\u0301sico "}, {"plan": "basic"}),
        ({"since": "2026-05-25T00:00:00+02:00"}, {}),
    ],
)
def test_codes_and_aliases_mean_in_a_record_what_they_meant_in_training(
    trained: Any, said: dict[str, Any], meant: dict[str, Any]
) -> None:
    _, facts, _ = trained
    wanted = facts.records([_RECORD | meant]).values
    np.testing.assert_array_equal(facts.records([_RECORD | said]).values, wanted)
    made = facts.made(_RECORD | said)  # as it is recorded, and read again
    np.testing.assert_array_equal(facts.records([made]).values, wanted)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fee": -999}, "field 'fee': -999 stands for what is missing; allowed: money"),
        ({"fee": "R$ 89,90"}, "field 'fee': 'R\\$ 89,90' is not a number"),
        ({"since": "n/d"}, "field 'since': 'n/d' is no date"),
        ({"since": "25/05/2026"}, "field 'since': '25/05/2026' is no date"),
        ({"calls": True}, "field 'calls': True is not a number"),
        ({"calls": [-999]}, "field 'calls': \\[-999\\] is not a number"),
    ],
)
def test_what_a_record_cannot_say_is_named_as_it_was_given(trained: Any, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        trained[1].records([_RECORD | change])


def test_aliases_that_change_places_are_followed_once(trained: Any) -> None:
    company, facts, _ = trained
    swapped = CellReading(aliases={"calls": {"1": "2", "2": "1"}, "plan": {"basic": "plus", "plus": "basic"}})
    other = Facts(facts.schema, replace(company.customers, reading=swapped), "BRL")
    found = other.records([_RECORD | {"calls": 1, "plan": "basic"}, _RECORD | {"calls": 2, "plan": "plus"}]).values
    wanted = facts.records([_RECORD | {"calls": 2, "plan": "plus"}, _RECORD | {"calls": 1, "plan": "basic"}]).values
    np.testing.assert_array_equal(found, wanted)


def test_who_joined_today_by_a_clock_ahead_is_no_fault(trained: Any) -> None:
    _, facts, _ = trained
    record = {"aluno": "7", "fee": 10.0, "plan": "plus", "visits": 1.0, "calls": 0.0, "days": -0.5}
    assert facts.records([record]).values[0, facts.schema.features.index("days")] == -0.5
    with pytest.raises(DataError, match=r"field 'days': -30\.0 is below 0"):
        facts.records([record | {"days": -30.0}])


@pytest.mark.parametrize("table", [{"fee": 1}, [{"fee": 1}], pd.Series({"fee": 1})])
def test_what_is_no_table_is_refused(trained: Any, table: Any) -> None:
    with pytest.raises(DataError, match=f"is of type {type(table).__name__}; allowed: a DataFrame"):
        inspect.unwrap(Facts.frame)(trained[1], table)  # without the checks of types that only tests have

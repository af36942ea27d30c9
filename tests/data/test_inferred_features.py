"""Features that a DataFrame's other columns become, and what is said of those that look like none."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from retentionjax.checked import CompanyError
from retentionjax.company import Company
from retentionjax.data import check, company_tables, leaks
from retentionjax.data.company_tables import Tables
from retentionjax.data.faults import FilesError

_ROWS = 40


def _read(extra: dict[str, Any], **more: Any) -> tuple[Company, Tables]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"fee": rng.gamma(5, 8, _ROWS).round(2), "calls": rng.poisson(1, _ROWS), **extra})
    table["churned"] = np.arange(_ROWS) % 4 == 0
    keys = {"charge": "fee", "left": "churned", "window_days": 30, "offers": {"ten": {"discount": 0.1}}} | more
    company = Company(table, **keys)
    return company, company_tables.read(company)


def test_dates_may_be_named_beside_features_that_are_not() -> None:
    since = pd.Timestamp("2026-05-01") - pd.to_timedelta(np.arange(_ROWS), unit="D")
    since = pd.Series(since).where(np.arange(_ROWS) > 0)
    named = {"snapshot": dt.date(2026, 6, 1), "dates": {"since": "days"}, "tenure": "days"}
    schema = _read({"since": since}, **named)[1].customers.schema
    assert schema.numeric == ("fee", "calls", "days")
    assert schema.nullable == ("days",)
    schema = _read({"since": since}, **named, ignore="others", nullable=["days"])[1].customers.schema
    assert schema.numeric == ("days",)


def test_a_charge_written_with_its_currency_is_a_feature_like_any_charge() -> None:
    _, tables = _read({"fee": [f"${100 + place}.50" for place in range(_ROWS)]})
    assert tables.customers.schema.numeric == ("fee", "calls")
    assert tables.customers.frame["fee"].tolist() == [100.5 + place for place in range(_ROWS)]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (np.arange(_ROWS) + 7000, "is another whole number in every row: if it names customers, say so by id"),
        ([f"{place},000" for place in range(1, _ROWS + 1)], "is no feature: 40 different texts"),
        ([f"{place}.25" for place in range(_ROWS)], "all of them numbers: name it under numeric if it is to be one"),
    ],
)
def test_a_column_that_may_be_meant_otherwise_is_noted(column: Any, said: str) -> None:
    _, tables = _read({"other": column})
    assert any(note.startswith("column 'other'") and said in note for note in tables.notes)


def test_a_feature_that_is_the_same_for_all_is_warned_of() -> None:
    company, tables = _read({"one": 1, "none": np.nan, "two": [1, 2] * (_ROWS // 2)})
    warned = [each for each in check.warnings(company, tables) if "teaches nothing" in each]
    assert [each.split("'")[1] for each in warned] == ["one", "none"]
    assert "is empty for all" in warned[1]


def test_a_charge_that_no_decision_could_be_about_is_refused_before_training() -> None:
    with pytest.raises(FilesError, match="'1200000000' makes too large a charge of 30 days; allowed: 1,000,000,000 at"):
        _read({"fee": [1_200_000_000] * _ROWS})
    with pytest.raises(FilesError, match="makes too large a charge"):
        _read({"fee": [50_000_000] * _ROWS}, charge={"column": "fee", "per_days": 1})
    with pytest.raises(FilesError, match="'1e-07' makes too small a charge of 30 days; allowed: 1e-06 or more"):
        _read({"fee": [1e-7] * _ROWS})
    for value in (1e-7, 1e10):
        with pytest.raises(FilesError, match=r"customers.charge makes .* in 30 days; allowed: 1e-06 to 1,000,000,000"):
            _read({}, charge={"value": value})


def test_a_day_may_be_numpys() -> None:
    company, _ = _read({"since": "2026-01-01"}, snapshot=np.datetime64("2026-06-01"), dates={"since": "days"})
    assert company.customers.snapshot == dt.date(2026, 6, 1)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "limits: {budget: 2,5}",
            "unknown key '5'; if it ends a number as \"2,5\" does, a fraction is written with a point",
        ),
        ("customers: {categorical: {Ativo?: infer}}", "a text with ? : # , or & in it stands in quotes"),
    ],
)
def test_what_yaml_takes_otherwise_is_told(tmp_path: Any, line: str, said: str) -> None:
    (tmp_path / "acme.yaml").write_text(f"offers: {{hello: {{}}}}\n{line}\n")
    with pytest.raises(CompanyError) as caught:
        Company.load(tmp_path / "acme.yaml")
    assert said in str(caught.value)


def test_the_area_by_ranks_is_sklearns() -> None:
    rng = np.random.default_rng(1)
    label, score = (rng.random(500) < 0.2).astype(int), rng.integers(0, 9, 500).astype(float)
    np.testing.assert_allclose(leaks._auc(label, score), roc_auc_score(label, score), rtol=1e-12)

"""Pairs of wordings from what a company's customers did, of which the better is known beforehand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from etils import epath

from retentionjax.decide.wording_outcomes import COLUMNS, pairs
from retentionjax.errors import DataError

KIND = {"offer": "ten", "channel": "sms", "tone": "warm", "angle": ""}


def table(*rows: tuple[str, str, str, int, int]) -> pd.DataFrame:
    """Rows of week, choices, wording, sent and accepted."""
    found = [
        {"week": week, "choices": choices, "variant_id": name, "text": f"text {name}", **KIND}
        | {"sent": sent, "accepted": accepted, "opted_out": 0}
        for week, choices, name, sent, accepted in rows
    ]
    return pd.DataFrame(found)[list(COLUMNS)]


def found(tmp_path: Path, rows: pd.DataFrame) -> set[tuple[str, str]]:
    rows.to_csv(tmp_path / "wordings.csv", index=False)
    made = pairs(epath.Path(tmp_path / "wordings.csv"))
    assert {each.group for each in made} <= {"ten, sms, warm"}
    return {(each.chosen[-1], each.rejected[-1]) for each in made}


def test_the_better_of_two_is_found_and_of_equals_neither(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rates, rows = {"a": 0.20, "b": 0.08, "c": 0.20}, []
    for week in ("1", "2", "2"):  # a stratum may come in parts: what was purged, and what was not
        rows += [(week, "abc", name, 800, int(draw.binomial(800, rate))) for name, rate in rates.items()]
    assert found(tmp_path, table(*rows)) == {("a", "b"), ("c", "b")}


def test_customers_who_had_no_choice_tell_nothing(tmp_path: Path) -> None:
    """The second wording went to customers who accept whatever they are sent, and to nobody whom the first did."""
    rows = table(("1", "a", "a", 2000, 100), ("1", "b", "b", 2000, 1000))
    assert found(tmp_path, rows) == set()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": ["week"]}, "the column 'week' is missing; allowed: week, choices"),
        (
            {"accepted": 11},
            "row 2 has sent 10, accepted 11, opted_out 0; allowed: .*accepted at most sent",
        ),
        ({"sent": "many"}, "row 2 has sent nan, .*; allowed: whole numbers"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(tmp_path: Path, change: dict[str, object], said: str) -> None:
    rows = table(("1", "ab", "a", 10, 1)).astype(object)
    rows = rows.drop(columns=change["columns"]) if "columns" in change else rows.assign(**change)
    with pytest.raises(DataError, match=said):
        found(tmp_path, rows)

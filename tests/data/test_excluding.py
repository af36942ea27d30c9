"""Rows that a condition leaves out: it is compared with something, or it is a fault."""

import re
from pathlib import Path

import pandas as pd
import pytest

from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.data.faults import FilesError


@pytest.mark.parametrize(
    ("column", "condition", "said"),
    [
        ("months", "< 1 month", "column 'months': cannot be compared with '< 1 month'; allowed: such as '<= 0'"),
        ("months", "== one", "column 'months': cannot be compared with '== one'"),
        ("plan", "> 5", "column 'plan': cannot be compared with '> 5': it holds no numbers"),
        ("plan", ">= 2026-05-25", "column 'plan': cannot be compared with '>= 2026-05-25': it holds no such dates"),
        ("charge", "< USD 50", "'charge' cannot be compared with '< USD 50'"),
        ("charge", "> nan", "'charge' cannot be compared with '> nan'"),
        ("since", "< 5", "column 'since': cannot be compared with '< 5': it holds no numbers"),
        ("since", ">= 25.05.2026", "column 'since': cannot be compared with '>= 25.05.2026'"),
        ("months", "< 3", "3 rows excluded by months < 3"),
        ("plan", "== a", "20 rows excluded by plan == a"),
        ("vip", "== 1", "15 rows excluded by vip == 1"),
        ("since", ">= 2026-02-09", "21 rows excluded by since >= 2026-02-09"),
        ("since", "missing", "0 rows excluded by since missing"),
        ("charge", "< 50", "0 rows excluded by charge < 50"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_condition_leaves_rows_out_or_cannot_be_compared_but_never_means_nothing(
    tmp_path: Path, column: str, condition: str, said: str, as_text: bool
) -> None:
    days = pd.date_range("2026-01-01", periods=60)
    table = pd.DataFrame({"fee": 50.0, "gone": [0, 0, 1] * 20, "plan": ["a", "b", "c"] * 20, "months": range(60)})
    table = table.assign(since=days, vip=[1, 0, 0, 0] * 15)
    file: object = table.assign(vip=table["vip"] == 1)
    if as_text:
        file = str(tmp_path / "c.csv")
        table.to_csv(file, index=False)
    keys = {"charge": "fee", "left": "gone", "window_days": 30, "numeric": ["months"], "ignore": "others"}
    company = Company(file, exclude={column: condition}, offers={"hello": {}}, **keys)
    if "excluded" in said:
        assert said in company_tables.read(company).notes
    else:
        with pytest.raises(FilesError, match=re.escape(said)):
            company_tables.read(company)


def test_a_day_is_no_number(tmp_path: Path) -> None:
    table = pd.DataFrame({"fee": 50.0, "gone": [0, 1], "since": pd.Timestamp("2026-01-01")})
    company = Company(table, charge="fee", left="gone", window_days=30, numeric=["since"], offers={"hello": {}})
    with pytest.raises(FilesError, match="row 1, column 'since': '2026-01-01 00:00:00' is not a number"):
        company_tables.read(company)

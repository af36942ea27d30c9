"""What `data check` says of a company whose files are right: what is odd in them, and only that."""

from pathlib import Path
from typing import Any

import customer_files
import numpy as np
import pandas as pd
import pytest

from retentionjax.company import Company
from retentionjax.data import check, company_tables

ROWS = 600
DATED = """\
customers: {{file: c.csv, charge: fee, id: id, snapshot: 2026-03-01, numeric: [calls]{dated}}}
contacts: {{file: k.csv, at: at, offer: arm, {drawn}, accepted: yes}}
offers: {{hello: {{}}, ten: {{discount: 0.1}}, free: {{discount: 1.0}}}}
limits: {{account_cap: {cap}}}
"""
LEFT = ", left: {date: left_on, observed_until: 2026-06-01}"


def _warnings(
    folder: Path, *, drawn: str = "propensity: p", dated: str = LEFT, cap: float = 200, share: float | None = None
) -> list[str]:
    random = np.random.default_rng(2)
    left = random.random(ROWS) < 0.1
    rows = [f"c{n},{50 + n % 100},{n % 7},{'2026-03-20' if left[n] else ''},{int(left[n])}" for n in range(ROWS)]
    (folder / "c.csv").write_text("\n".join(["id,fee,calls,left_on,gone", *rows]))
    if dated != LEFT:
        (folder / "c.csv").write_text((folder / "c.csv").read_text().replace("left_on", "other"))
    arms = random.choice(["none", "hello", "ten"], ROWS, p=[0.5, 0.25, 0.25])
    stated = {"none": 0.5, "hello": 0.25, "ten": 0.25}
    log = [
        f"c{n},2026-03-0{n % 9 + 1},{arm},{stated[arm] if share is None else share},{'' if arm == 'none' else n % 2}"
        for n, arm in enumerate(arms)
    ]
    (folder / "k.csv").write_text("\n".join(["id,at,arm,p,yes", *log]))
    ignored = ", ignore: others"
    (folder / "acme.yaml").write_text(
        DATED.format(drawn=drawn, dated=dated + ignored, cap=cap).replace("offer: arm", "offer: arm, ignore: others")
    )
    company = Company.load(folder / "acme.yaml")
    return list(check.warnings(company, company_tables.read(company)))


def test_nothing_is_said_of_files_in_which_nothing_is_odd(tmp_path: Path) -> None:
    assert _warnings(tmp_path) == []


def test_probabilities_that_are_not_those_of_the_arms_are_told(tmp_path: Path) -> None:
    said = _warnings(tmp_path, share=0.9)
    assert [each.split(" was drawn")[0] for each in said] == ["contacts: none", "contacts: hello", "contacts: ten"]
    assert "none was drawn with probability 0.9 by the log's own account, but 0.48" in said[0]
    said = _warnings(tmp_path, drawn="design: {none: 0.1, hello: 0.8, ten: 0.1}")
    assert len(said) == 3


def test_a_log_without_dates_of_leaving_is_said_to_teach_what_tempts_and_no_more(tmp_path: Path) -> None:
    (said,) = _warnings(tmp_path, dated=", left: gone, window_days: 30")
    assert "teaches what tempts customers and not what keeps them; say left: {date: …" in said


@pytest.mark.parametrize(("cap", "share"), [(200.0, "all customers"), (100.4, "50.0% of customers"), (49, "0.0% of")])
def test_for_each_offer_it_is_said_whom_the_account_s_cap_allows_it(tmp_path: Path, cap: float, share: str) -> None:
    said = _warnings(tmp_path, cap=cap)
    company = Company.load(tmp_path / "acme.yaml")
    lines = [each for each in check.understood(company, company_tables.read(company)) if "  offer free" in each]
    assert f"the account's cap allows it to {share}" in lines[0]
    assert said == (
        ["limits.account_cap, $49, allows the offer free to 0 of 600 customers only: the others never get it"]
        if cap == 49
        else []
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            {"horizon_days": 5},
            "limits.cooldown_days, 7, is as long as a campaign (horizon_days, 5) or longer: nobody gets",
        ),
        ({"limits": {"cooldown_days": 10}}, "limits.fatigue, 3 contacts in 30 days, forbids nothing: 10 days between"),
        ({"delays": [0, 30], "horizon_days": 30}, "delays: 30, in campaigns of 30 days: such a contact comes after"),
    ],
)
def test_a_limit_that_forbids_nothing_or_everything_is_told(tmp_path: Path, limits: dict[str, Any], said: str) -> None:
    customer_files.write(tmp_path)
    tables = customer_files.read(tmp_path)
    plain = {"offers": {"hello": {}}, "customers": Company.load(tmp_path / "acme.yaml").customers}
    before = list(check.warnings(Company(**plain), tables))
    (new,) = (each for each in check.warnings(Company(**plain, **limits), tables) if each not in before)
    assert new.startswith(said)


def test_a_column_that_tells_who_left_is_told(tmp_path: Path) -> None:
    lines = customer_files.customers(80)
    lines = [line.replace("x@y.z", "price" if ",yes," in line else "none") for line in lines]
    described = customer_files.COMPANY.replace("    region: infer", "    region: infer\n    e_mail: infer")
    customer_files.write(tmp_path, lines, company=described.replace("  ignore: [e_mail]\n", ""))
    company = Company.load(tmp_path / "acme.yaml")
    said = list(check.warnings(company, customer_files.read(tmp_path)))
    assert any("told nearly perfectly by e_mail (AUC 1.000 by itself)" in each for each in said)


def test_snapshots_are_called_rows_and_their_customers_counted_once() -> None:
    months = pd.to_datetime(["2026-01-01", "2026-02-01"])
    table = pd.DataFrame(
        {"id": np.tile(np.arange(30), 2).astype(str), "seen": np.repeat(months, 30), "calls": np.arange(60.0)}
    ).assign(fee=20.0, left=np.arange(60) % 4 == 0)
    told = {"id": "id", "snapshot": "seen", "charge": "fee", "left": "left", "window_days": 30, "numeric": ["calls"]}
    company = Company(table, name="panel", offers={"ten": {"discount": 0.1}}, **told)
    said = "\n".join(check.understood(company, company_tables.read(company)))
    assert "panel: 60 rows of 30 customers from" in said
    assert "allows it to all rows" in said

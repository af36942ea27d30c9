"""The log as arrays: what stands in its frames, and what is refused there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.effects.log import LONGEST, Log, from_frames, of_company
from retentionjax.errors import DataError


def _log(days: list[int], left: int | None = None) -> Log:
    start = pd.Timestamp("2024-01-01")
    at = [start + pd.Timedelta(days=day) for day in days]
    contacts = pd.DataFrame({"customer": "a", "at": at, "offer": "none", "accepted": np.nan, "propensity": 0.5})
    customers = pd.DataFrame(
        {
            "monthly_charge": 50.0,
            "churn_probability": 0.1,
            "accept_probability": 0.1,
            "left_on": pd.NaT if left is None else start + pd.Timedelta(days=left),
            "observed_until": pd.Timestamp("2026-01-01"),
        },
        index=["a"],
    )
    return from_frames(contacts, customers, ["hello"])


def test_whoever_stayed_may_be_assigned_long_after_the_days_that_are_used() -> None:
    log = _log([0, LONGEST + 100])
    assert log.day.tolist() == [0, LONGEST + 100]
    assert log.left_day.tolist() == [-1]
    assert log.lanes().offer.shape == (1, LONGEST)


def test_an_assignment_after_leaving_is_refused() -> None:
    assert _log([0, 20], left=20).left_day.tolist() == [20]
    with pytest.raises(DataError, match="after the customer left"):
        _log([0, 21], left=20)


COMPANY = """\
customers: {file: c.csv, id: id, charge: {value: 20}, snapshot: 2026-01-01, numeric: [shoe_size]}
contacts: {file: k.csv, at: at, offer: arm, design: {none: 0.5, hello: 0.5}, accepted: yes}
departures: {file: d.csv, left_on: left_on, observed_until: 2026-06-01}
offers: {hello: {}}
"""


def test_facts_that_only_tell_customers_apart_do_not_tell_who_accepts(tmp_path: Path) -> None:
    """Half of the customers nearly always accept and half nearly never, by the toss of a coin. Were their fifteen
    answers cut between the folds that calibrate, the fact that names them would seem to know: spread 0.32, not 0.06."""
    random, people = np.random.default_rng(0), range(120)
    likes = random.random(len(people)) < 0.5
    (tmp_path / "acme.yaml").write_text(COMPANY)
    (tmp_path / "c.csv").write_text("id,shoe_size\n" + "".join(f"c{each},{random.random():.6f}\n" for each in people))
    (tmp_path / "d.csv").write_text("id,left_on\n" + "".join(f"c{each},2026-01-20\n" for each in people[::4]))
    answers = {each: random.random(15) < (0.95 if likes[each] else 0.05) for each in people}
    rows = [f"c{who},2026-01-{day:02d},hello,{int(yes)}" for who in people for day, yes in enumerate(answers[who], 2)]
    (tmp_path / "k.csv").write_text("\n".join(["id,at,arm,yes", *rows]) + "\n")
    company = Company.load(tmp_path / "acme.yaml")
    log = of_company(company, company_tables.read(company), company.believed(20.0))
    assert isinstance(log, Log)
    assert log.accept_probability.mean() == pytest.approx(0.5, abs=0.1)
    assert log.accept_probability.std() < 0.15

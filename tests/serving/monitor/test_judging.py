"""Measured against believed effects: a promise that is kept is no alarm, one that is not is named."""

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bundles
import ledger_rows
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from holdout_ledgers import begin, ended, lives
from ledger_rows import OFFERS, FrozenClock, decision, record

from retentionjax.bundle import load, write
from retentionjax.env import EnvParams, actions, observation
from serving.ledger import Ledger
from serving.ledger.types import Outcome
from serving.monitor import judging

HAZARD = 1 - (1 - 0.31) ** (1 / 30)  # of the score that decisions are recorded with
BUNDLE: Any = SimpleNamespace(params=EnvParams(fatigue_hazard=0.0), offers=dict.fromkeys(OFFERS))


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FrozenClock) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
    yield opened
    opened.close()


def promised(ledger: Ledger, clock: FrozenClock, true_multiplier: float) -> tuple[judging.Promise, ...]:
    """All of the campaign's customers accept 20 % off, which is believed to multiply their hazard by 0.45."""
    arms = begin(ledger)
    gone = lives(arms, {"policy": HAZARD * true_multiplier, "holdout": HAZARD})
    clock.to_day(0.1)
    asked = [name for name, (arm, _) in arms.items() if arm == "policy"]
    rows = [decision(name, campaign_id="proof", now=clock.now, offer="twenty", offer_cost=1) for name in asked]
    made = record(ledger, *rows)
    with ledger.transaction() as tx:
        tx.outcome([Outcome(each, "accepted", clock.now) for each in made])
    ended(ledger, clock, {name: max(day, 0.2) for name, day in gone.items()})
    with ledger.read() as reader:
        return judging.read_promises(reader, BUNDLE, ledger_rows.START)


def test_an_offer_that_does_what_is_believed_is_no_alarm(ledger: Ledger, clock: FrozenClock) -> None:
    (found,) = promised(ledger, clock, 0.45)
    assert found.believed < -0.1
    assert not found.is_broken


def test_an_offer_that_wakes_customers_where_it_should_keep_them_is_named(ledger: Ledger, clock: FrozenClock) -> None:
    (found,) = promised(ledger, clock, 1.5)
    assert found.is_broken
    assert found.words.startswith("effects: proof, policy: departures of 100 customers changed by")
    assert found.words.endswith("hazard_multiplier.twenty is the one to doubt")


def test_before_enough_is_known_nothing_is_said(ledger: Ledger, clock: FrozenClock) -> None:
    begin(ledger)
    ended(ledger, clock, {})
    with ledger.read() as reader:
        assert judging.read_promises(reader, BUNDLE, ledger_rows.START) == ()


def test_the_effect_that_pulls_away_from_what_was_measured_is_the_one_to_doubt() -> None:
    parts = {"hazard_multiplier.ten": -0.05, "fatigue_hazard": 0.02, "contact_effect": -0.01}
    assert judging._doubted(parts, 0.04) == "hazard_multiplier.ten"
    assert judging._doubted(parts, -0.04) == "fatigue_hazard"
    assert judging._doubted({"contact_effect": -0.01}, -0.04) == "contact_effect"


def customers(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "months": random.uniform(0, 60, rows),
            "bill": random.uniform(20, 120, rows),
            "plan": random.choice(["basic", "plus"], rows),
            "age": random.uniform(18, 80, rows),
            "channel": random.choice(["mail", "phone"], rows),
        }
    )


def test_facts_that_this_bundle_does_not_take_are_counted_and_the_rest_is_compared(tmp_path: Path) -> None:
    made, train = bundles.contents(bundles.trained()), customers(1_000, 0)
    reference = bundles.churn_reference(made, train, train["months"] < 20, None)
    write(tmp_path / "bundle", dataclasses.replace(made, references={"churn": reference}))
    bundle = load(tmp_path / "bundle")
    tripled = customers(300, 1).assign(bill=lambda table: 3 * table["bill"]).to_dict("records")
    older = [{"months": 3, "bill": 40, "region": "north"}, {**tripled[0], "bill": None}]
    shifts, unread = judging.drifted_columns(bundle, [older[0], *tripled, older[1]])
    assert (shifts, unread) == (judging.drifted_columns(bundle, tripled)[0], 2)
    assert "churn, bill" in shifts
    assert judging.drifted_columns(bundle, older) == ({}, 2)


def test_the_value_of_decisions_of_a_bundle_with_other_offers_is_not_told() -> None:
    """Their rows are of other lengths, or of as many with other meanings: either ended the check, or told nonsense."""
    seen, choices = observation.size(len(OFFERS)), actions.count(BUNDLE.params)
    first, second = OFFERS[:2]
    table = pa.table(
        {
            "bundle_id": ["own", "own", "wide", "wide", "renamed", "renamed"],
            "observation": [[0.0] * seen] * 2 + [[0.0] * (seen + 1)] * 2 + [[0.0] * seen] * 2,
            "propensities": [[0.0] * choices] * 2 + [[0.0] * (choices + 3)] * 2 + [[0.0] * choices] * 2,
            "action": [0, 1, 0, 14, 0, 1],
            "offer": [None, first, None, "more", None, second],
        }
    )
    assert inspect.unwrap(judging._is_own)(table, BUNDLE).tolist() == [True, True, False, False, False, False]

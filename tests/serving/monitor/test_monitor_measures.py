"""Observed against expected: intervals from published tables, shifts that do what they say, spells counted by hand."""

import numpy as np
import pytest
from scipy import special

from retentionjax.env import EnvParams, observation
from serving.ledger.records import Followed
from serving.ledger.types import DAY
from serving.monitor import measures


def test_the_interval_of_departures_is_garwoods() -> None:
    """Garwood (1936): 95 % limits of a Poisson mean of which 10 events were seen are 4.795 and 18.39."""
    risk = np.full(100, 1 - 0.9**30)  # a hazard of 0.1 a day
    left = np.arange(100) < 10
    compared = measures.churn(risk, np.ones(100), left, 30)
    assert compared.expected == pytest.approx(10)
    assert (10 * compared.low, 10 * compared.high) == pytest.approx((4.795, 18.39), abs=0.005)


def test_the_interval_of_acceptances_is_wilsons() -> None:
    """Newcombe (1998), table I: 81 of 263, Wilson's score method: 0.2553 to 0.3662."""
    compared = measures.acceptance(np.full(263, 0.5), np.arange(263) < 81)
    assert (compared.low / 2, compared.high / 2) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize("observed", [1, 3, 40, 90])
def test_the_shift_makes_the_expected_number_the_observed_one(observed: int) -> None:
    predicted = np.random.default_rng(1).uniform(0.05, 0.6, 100)
    compared = measures.acceptance(predicted, np.arange(100) < observed)
    odds = np.log(predicted / (1 - predicted)) + compared.shift
    assert (1 / (1 + np.exp(-odds))).sum() == pytest.approx(observed, rel=1e-6)


def test_appeal_and_level_are_told_apart() -> None:
    """Simulated contacts of a known level and factor: 95 % intervals hold it; a wrong one rings, a right one hardly."""
    held = noticed = rings = 0
    levels = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        appeal = generator.choice([0.0, 0.4, 0.8, 1.6], 3000)
        free = generator.normal(-1.5, 0.7, 3000)
        accepted = generator.random(3000) < special.expit(free - 0.5 + 0.6 * appeal)
        found = measures.appeal(special.expit(free + appeal), appeal, accepted)
        held += found.low < 0.6 < found.high
        right = generator.random(3000) < special.expit(free + appeal)
        rings += measures.appeal(special.expit(free + appeal), appeal, right).differs(0.1)
        noticed += found.differs(0.1)
        levels.append(found.level)
    assert noticed >= 190
    assert abs(np.mean(levels) + 0.5) < 0.03  # three of its standard errors
    assert 182 <= held <= 198  # 190 ± 2.6 standard deviations
    assert rings <= 4


@pytest.mark.parametrize("appeals", [[0.8], [0.0, 0.8]])
def test_appeal_is_unknown_where_nothing_tells_it_apart(appeals: list[float]) -> None:
    appeal = np.resize(appeals, 40)
    accepted = np.arange(40) < (20 if len(appeals) == 1 else 3)
    found = measures.appeal(np.full(40, 0.3), appeal, accepted)
    assert np.isnan(found.factor)
    assert found.level == 0
    assert not found.differs(0.1)


def test_few_events_are_no_alarm() -> None:
    compared = measures.acceptance(np.full(4, 0.9), np.zeros(4, bool))
    assert not compared.is_known
    assert not compared.differs(0.1)


def row(customer: str, day: float, **changed: object) -> Followed:
    seen = np.zeros(observation.size(4), "<f4")
    seen[1:5] = (0.1, 0.2, 0.3, 0.4)
    seen[observation.names(4).index("protection_left")] = changed.pop("offer_left", 0.0)
    fields = {
        "decision_id": f"{customer}@{day}",
        "customer_id": customer,
        "campaign_id": "default",
        "decided_at": day * DAY,
        "action": 0,
        "observation": seen.tobytes(),
        "churn_probability": 0.2,
        "accept_probability": 0.1,
        "bundle_id": "b",
        "basis": None,
        "contact_state": None,
        "send_at": None,
        "churned_at": None,
    }
    return Followed(**(fields | changed))  # type: ignore[arg-type]


def test_spells_end_with_the_next_decision_the_departure_the_month_or_today() -> None:
    contact = {"action": 7, "contact_state": "accepted"}
    history = measures.history(
        [
            *(row("a", day, churned_at=12 * DAY) for day in (0, 7)),  # 7 days, then left after 5
            row("b", 0),  # 30 of the 40 days that passed
            row("c", 0, **contact),  # no spell: contacted
            row("c", 7, offer_left=0.5),  # no spell: an offer runs
            row("d", 35),  # 5 days until today
            row("e", 20, churned_at=15 * DAY),  # had left before
        ],
        40 * DAY,
        EnvParams(),
        "b",
    )
    assert history.days.tolist() == [7, 5, 30, 5]
    assert history.left.tolist() == [False, True, False, False]
    assert (history.decisions, history.customers) == (7, 5)
    assert history.accept == pytest.approx([0.3])
    assert history.accepted.tolist() == [True]


def test_what_another_bundle_predicted_is_not_held_against_this_one() -> None:
    """Its scores are those before a recalibration, or of another window; what it saw may stand in other places."""
    other = {"bundle_id": "a", "observation": np.full(observation.size(2), 0.5, "<f4").tobytes()}
    rows = [
        row("a", 0, **other),
        row("a", 6),  # the customer's days since then are this one's
        row("b", 0, action=7, contact_state="accepted", **other),
        row("c", 0),
    ]
    history = measures.history(rows, 10 * DAY, EnvParams(), "b")
    assert (history.decisions, history.customers, history.others) == (4, 3, 2)
    assert history.days.tolist() == [4, 10]
    assert len(history.accept) == 0


def test_a_contact_that_is_not_answered_yet_says_nothing() -> None:
    history = measures.history([row("a", 0, action=1, contact_state="reserved")], DAY, EnvParams(), "b")
    assert len(history.accept) == 0
    compared = measures.acceptance(history.accept, history.accepted)
    assert not compared.is_known

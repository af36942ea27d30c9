"""Pacing by price: a policy for any budget is told what a dollar is worth, by the money and the days that are left."""

import asyncio
from pathlib import Path
from typing import Any

import bundles
import engines
import msgspec
import numpy as np
import pytest

from retentionjax.decide.customer import unknown
from serving.domain.campaigns import campaign_now
from serving.domain.decisions.explaining import explain
from serving.engine.contract import Decision
from serving.engine.situations import Basis, Pace, pace
from serving.engine.slots import Served
from serving.ledger.records import DecisionRecord
from serving.ledger.types import DAY
from serving.ledger.views import CampaignView


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_any_budget(tmp_path_factory.mktemp("any_budget") / "bundle")


def campaign(left: float, budget: float = 300.0) -> CampaignView:
    """100 days, 100 customers; dollars."""
    spent = int((budget - left) * 1e6)
    return CampaignView("spring", int(budget * 1e6), spent, 0, 0.0, 100, 100)


@pytest.mark.parametrize(
    ("left", "day", "expected"),
    [
        (300.0, -5, Pace(1.0, 0.75)),  # $3 a customer lie half-way between $4 at 0.5 and $2 at 1
        (300.0, 0, Pace(1.0, 0.75)),
        (150.0, 50, Pace(1.0, 0.75)),  # half the money for half the days
        (100.0, 50, Pace(1.0, 1.0)),  # too fast: dearer
        (250.0, 50, Pace(1.0, 0.5)),  # too slow: as cheap as it gets
        (100.0, 0, Pace(1.0, 2.0)),
        (25.0, 50, Pace(0.5, 2.0)),  # half of what even the highest price spends
        (0.0, 50, Pace(0.0, 2.0)),
        (200.0, 100, Pace(0.0, 2.0)),  # over
    ],
)
def test_the_price_is_that_of_the_money_left_for_the_days_left(left: float, day: int, expected: Pace) -> None:
    assert pace(campaign(left), bundles.MULTIPLIERS, day * DAY) == pytest.approx(expected)


def test_without_the_policy_for_any_budget_contacts_are_throttled(served: Served) -> None:
    assert served.prices is None
    assert pace(campaign(75.0), served.prices, 50 * DAY) == Pace(0.5, None)
    with pytest.raises(ValueError, match="this bundle's policy takes none"):
        features = served.decider.facts.records([bundles.CUSTOMER])
        served.decider.decide(features, unknown(1), served.decider.open(1, multiplier=1.0))


def chances(price: float, mask: bytes | None) -> np.ndarray:
    """The policy of the bundle, by hand."""
    legal = np.unpackbits(np.frombuffer(mask or b"", np.uint8), count=13, bitorder="little")
    weights = legal * np.where(np.arange(13) == 0, np.exp(2 * price), 1.0)
    return np.asarray(weights / weights.sum())


async def records(priced: Path, tmp_path: Path, asks: int, **changed: Any) -> tuple[list[DecisionRecord], Any, Served]:
    """What `asks` customers one after the other were decided, the campaign afterwards, and what decided."""
    clock = engines.Clock()
    async with engines.running(priced, tmp_path, clock=clock, **changed) as (engine, ledger):
        given = [await engine.decide(engines.ask(f"C-{number}")) for number in range(asks)]
        state = type("State", (), {"clock": clock, "ledger": ledger, "engine": engine})
        with ledger.read() as reader:
            found = [reader.decision(each.decision_id) for each in given]
            assert reader.audit() == []
        return [each for each in found if each is not None], campaign_now(state, "default"), engine.active


def test_a_decision_is_drawn_at_the_price_of_its_moment_which_is_recorded(priced: Path, tmp_path: Path) -> None:
    found, after, served = asyncio.run(records(priced, tmp_path, 20, dollars=250.0, days=1000))
    prices = []
    for each in found:
        assert each.propensities is not None
        assert each.basis is not None
        basis = msgspec.json.decode(each.basis, type=Basis)
        assert basis.price is not None
        prices.append(basis.price)
        np.testing.assert_allclose(np.frombuffer(each.propensities, "<f4"), chances(basis.price, each.mask), atol=1e-6)
    assert prices[0] == pytest.approx(0.875, abs=1e-3)  # $2.50 a customer
    assert prices == sorted(prices)  # money goes, and no day passes
    assert after.pace.by == "multiplier"
    assert after.pace.throttle == 1.0
    assert after.pace.multiplier >= prices[-1] - 1e-6  # which is a float32
    assert prices[-1] > prices[0]
    last = found[-1]
    decision = msgspec.json.decode(last.response or b"", type=Decision)
    explanation = explain(decision, last.propensities or b"", last.basis or b"", served)
    assert explanation.multiplier == prices[-1]
    assert explanation.pacing is not None
    assert explanation.pacing.multiplier == prices[-1]
    assert all(each.net == pytest.approx(each.gain - prices[-1] * each.cost) for each in explanation.offers)


def test_a_small_budget_is_never_passed_and_lets_few_contacts_through(priced: Path, tmp_path: Path) -> None:
    found, after, _ = asyncio.run(records(priced, tmp_path, 40, dollars=30.0))
    bases = [msgspec.json.decode(each.basis or b"", type=Basis) for each in found]
    assert {each.price for each in bases} == {2.0}
    assert bases[0].throttle == pytest.approx(0.3, abs=1e-3)  # $0.30 a customer, and the least is $1
    assert after.spent_micros + after.reserved_micros <= after.budget_micros
    for each, basis in zip(found, bases, strict=True):
        contacts = basis.throttle * chances(2.0, each.mask)[1:]
        np.testing.assert_allclose(np.frombuffer(each.propensities or b"", "<f4")[1:], contacts, atol=1e-6)

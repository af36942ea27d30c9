"""Customers who live through some weeks of a campaign that the real engine decides about, in a world of our own.

In that world a customer leaves within 30 days with the probability that the bundle's first churn model gives, its
log-odds shifted by `drift`, and an accepted offer keeps her as the bundle's constants say. `value` is expected, not
sampled: the margin of each day times the probability to be there, so that two policies differ by more than noise.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import engines
import msgspec
import numpy as np

from retentionjax.bundle import Bundle
from retentionjax.decide.program import Decider
from serving.engine import Engine
from serving.engine.contract import Ask, Decision
from serving.ledger import Ledger
from serving.ledger.types import DAY, Campaign, Outcome
from serving.monitor.measures import daily_hazard

TAIL_DAYS = 90  # after the weeks played, that a customer's staying is still worth something


@dataclass(frozen=True)
class Weeks:
    """Weeks of a campaign."""

    campaign: str
    weeks: int
    drift: float
    customers: int
    seed: int = 7


@dataclass
class People:
    """Everybody of one campaign, as it stands."""

    facts: list[dict[str, Any]]
    hazard: np.ndarray  # a day, without an offer
    stays: np.ndarray  # probability to be there still, given what was offered
    alive: np.ndarray
    value: np.ndarray  # $
    offer_until: np.ndarray  # seconds; 0: none
    multiplier: float
    acceptance: float  # of 10 %


def live(served: Path, first: Bundle, folder: Path, clock: engines.Clock, plan: Weeks) -> np.ndarray:
    """Plays `plan` on the bundle at `served`, in the ledger in `folder`; expected $ of each customer."""
    people = _people(first, plan)

    async def main() -> None:
        async with engines.running(served, folder, clock=clock, customers=0) as (engine, ledger):
            with ledger.transaction() as tx:
                tx.put_campaign(
                    Campaign(plan.campaign, 10**12, clock(), 7 * plan.weeks + 1, plan.customers, holdout=0.0)
                )
                for number in range(plan.customers):
                    tx.set_consent(_name(plan, number), "sms", "granted", source="test")
            random = np.random.default_rng(plan.seed + 1)  # luck, apart from who they are
            for _ in range(plan.weeks):
                await _week(engine, ledger, people, plan, clock, random)

    asyncio.run(main())
    charge = np.array([each["bill"] for each in people.facts])
    left = np.cumprod(np.repeat((1 - people.hazard)[:, None], TAIL_DAYS, axis=1), axis=1).sum(axis=1)
    return people.value + people.stays * left * charge / 30


async def _week(
    engine: Engine, ledger: Ledger, people: People, plan: Weeks, clock: engines.Clock, random: np.random.Generator
) -> None:
    """Decisions about everybody on its first day, their answers, then seven days."""
    accepts, leaves = random.random(plan.customers), random.random((7, plan.customers))
    there = np.flatnonzero(people.alive)
    asks = [Ask(_name(plan, each), people.facts[each], campaign_id=plan.campaign, channel="sms") for each in there]
    given = await asyncio.gather(*(engine.decide(each) for each in asks))
    decisions = {each: msgspec.json.decode(one.body, type=Decision) for each, one in zip(there, given, strict=True)}
    with ledger.transaction() as tx:  # at once, whatever the hour
        tx.sent([each.decision_id for each in decisions.values() if each.offer is not None])
    outcomes = []
    for each, decision in decisions.items():
        if decision.offer is not None:
            outcomes.append(_answer(int(each), decision, people, float(accepts[each]), clock()))
    for day in range(7):
        now = clock() + day * DAY
        running = people.offer_until > now
        stay = (1 - people.hazard) ** np.where(running, people.multiplier, 1.0)
        discount = np.where(running, 0.1, 0.0)
        charge = np.array([each["bill"] for each in people.facts])
        people.stays *= stay
        people.value += people.stays * charge * (1 - discount) / 30
        gone = people.alive & (leaves[day] > stay)
        people.alive &= ~gone
        outcomes += [Outcome(decisions[each].decision_id, "churned", now + DAY / 2) for each in np.flatnonzero(gone)]
    clock.at += 7 * DAY
    with ledger.transaction() as tx:
        results = tx.outcome(outcomes)
    assert {each.status for each in results} <= {"applied"}


def _answer(number: int, decision: Decision, people: People, luck: float, now: float) -> Outcome:
    """An answer as the bundle's first acceptance model says. A contact costs $0.50, whatever comes of it."""
    people.value[number] -= 0.5 * people.stays[number]
    if luck > people.acceptance:
        return Outcome(decision.decision_id, "declined", now)
    assert decision.offer is not None
    people.offer_until[number] = now + decision.offer.days * DAY
    return Outcome(decision.decision_id, "accepted", now)


def _people(first: Bundle, plan: Weeks) -> People:
    random = np.random.default_rng(plan.seed)
    facts = [
        {"months": float(months), "bill": float(bill), "plan": str(kind), "age": 41, "channel": "mail"}
        for months, bill, kind in zip(
            random.uniform(0, 60, plan.customers),
            random.uniform(40, 120, plan.customers),
            random.choice(["basic", "plus"], plan.customers),
            strict=True,
        )
    ]
    decider = Decider(first)
    records = [{"customer_id": str(number), **each} for number, each in enumerate(facts)]
    risk, accepts = (each.astype(np.float64) for each in decider.score(decider.facts.records(records)))
    assert np.ptp(accepts) == 0  # they are all of one age and channel
    odds = np.log(risk / (1 - risk)) + plan.drift
    hazard = daily_hazard(1 / (1 + np.exp(-odds)), float(first.params.risk_window_days))
    return People(
        facts,
        hazard,
        stays=np.ones(plan.customers),
        alive=np.ones(plan.customers, bool),
        value=np.zeros(plan.customers),
        offer_until=np.zeros(plan.customers),
        multiplier=float(first.params.hazard_multiplier[2]),
        acceptance=float(1 / (1 + (1 / accepts[0] - 1) * np.exp(-float(first.params.appeal[2])))),
    )


def _name(plan: Weeks, number: int) -> str:
    return f"{plan.campaign}-{number}"

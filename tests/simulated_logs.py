"""Logs of a randomised campaign as a company would have them: `effects.simulation`, and its logs as files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from retentionjax.effects import simulation
from retentionjax.effects.log import Log
from retentionjax.effects.simulation import DESIGN, PRIOR, SHAPES, company, simulate, told, true_effects
from retentionjax.env import EnvParams, population
from retentionjax.env.types import NO_OFFER

__all__ = [
    "COMPANY", "DESIGN", "OFFERS", "PRIOR", "SHAPES",
    "company", "simulate", "strangers", "told", "true_effects", "write",
]  # fmt: skip

OFFERS = tuple(simulation.OFFERS)
START = pd.Timestamp("2026-01-01")
"""Day 0 of a log that is written as files."""

COMPANY = """
name: acme
customers:
  file: customers.csv
  id: id
  charge: charge
  snapshot: 2026-01-01
  window_days: 30
  numeric: [visits, age, calls, tenure]
contacts: {file: contacts.csv, at: at, offer: arm, accepted: accepted, propensity: share}
departures: {file: departures.csv, left_on: left_on, observed_until: 2026-03-31}
offers:
  hello: {effect_days: 30}
  five: {discount: 0.05, effect_days: 30}
  ten: {discount: 0.10, effect_days: 30}
  twenty: {discount: 0.20, effect_days: 30}
"""
"""What `write` and `strangers` make, as a company.yaml; effects of its own may follow."""


def write(folder: Path, log: Log, facts: Mapping[str, np.ndarray]) -> None:
    """The log as a company would have it: customers.csv with `facts`, contacts.csv, departures.csv of leavers alone."""
    ids = np.array([f"c{number}" for number in range(len(log.monthly_charge))])
    rounded = {name: column.round(3) for name, column in facts.items()}
    customers = {"id": ids, "charge": log.monthly_charge.round(2), **rounded}
    pd.DataFrame(customers).to_csv(folder / "customers.csv", index=False)
    names = np.array([*log.offers, "none"])  # index −1 is the last
    at = START + pd.to_timedelta(log.day, unit="D")
    answer = np.where(log.arm == NO_OFFER, "", log.accepted.astype(int).astype(str))
    table = {"id": ids[log.customer], "at": at, "arm": names[log.arm], "accepted": answer}
    pd.DataFrame(table | {"share": log.propensity}).to_csv(folder / "contacts.csv", index=False)
    left = log.left_day >= 0
    left_on = START + pd.to_timedelta(log.left_day[left], unit="D")
    pd.DataFrame({"id": ids[left], "left_on": left_on}).to_csv(folder / "departures.csv", index=False)


def strangers(count: int, seed: int) -> tuple[dict[str, np.ndarray], EnvParams]:
    """Customers by facts that models can learn from, and their true probabilities, which these cannot know whole."""
    random = np.random.default_rng([seed, 77])
    facts = random.standard_normal((count, 4))
    trouble, other = random.standard_normal((2, count))
    ease = 0.3 * trouble + np.sqrt(1 - 0.3**2) * other
    visits, age, calls, tenure = facts.T
    leaving = -1.6 + 0.7 * visits + 0.4 * age - 0.3 * np.abs(calls) + 0.7 * trouble
    accepting = -2.2 + 0.5 * visits + 0.4 * tenure + 0.5 * ease
    chances = [1 / (1 + np.exp(-log_odds)) for log_odds in (leaving, accepting)]
    params = EnvParams(population=population.build(random.uniform(20, 110, count), *chances))
    return dict(zip(("visits", "age", "calls", "tenure"), facts.T, strict=True)), params

"""Logs of a randomised campaign as a company would have them: `effects.simulation`, and its logs as files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from retentionjax.effects import simulation
from retentionjax.effects.log import Log
from retentionjax.effects.simulation import DESIGN, PRIOR, SHAPES, company, simulate, told, true_effects
from retentionjax.env.types import NO_OFFER

__all__ = ["DESIGN", "OFFERS", "PRIOR", "SHAPES", "company", "simulate", "told", "true_effects", "write"]

OFFERS = tuple(simulation.OFFERS)
START = pd.Timestamp("2026-01-01")
"""Day 0 of a log that is written as files."""


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

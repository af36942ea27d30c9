"""Decisions about a DataFrame: one row a customer in, one row a decision out."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from retentionjax.bundle import Bundle
from retentionjax.decide.customer import Customers, state, unknown
from retentionjax.decide.draws import uniform
from retentionjax.decide.facts import as_frame
from retentionjax.decide.program import DEFAULT_CAMPAIGN, Decider, sample
from retentionjax.env import actions
from retentionjax.env.types import EnvParams
from retentionjax.env.value import contact_value

_REASONS = 3


@dataclass(frozen=True)
class TableDecider:
    """A bundle that decides about tables.

    >>> decisions = TableDecider(bundle).decide(customers)  # doctest: +SKIP
    >>> decisions[decisions.contact][["customer_id", "offer", "expected_gain"]]  # doctest: +SKIP
    """

    bundle: Bundle

    @cached_property
    def decider(self) -> Decider:
        """The bundle's compiled program."""
        return Decider(self.bundle)

    def decide(self, customers: pd.DataFrame, *, day: int = 0, campaign: str = DEFAULT_CAMPAIGN) -> pd.DataFrame:
        """Decisions about customers of whom nothing but their facts is known, on this day of the campaign.

        Columns, one row a customer in their order: `customer_id`, `contact`, `offer` (name, None to wait),
        `delay_days`, `propensity` of the action drawn, `churn_probability` within the bundle's window,
        `accept_probability` of an offer-free contact, `expected_gain` of that contact today over none (money; 0 to
        wait), and `reasons`, the facts that move the risk most. The draw is a hash of customer, campaign and day.

        Raises DataError naming row, field, value and what is allowed.
        """
        features = self.decider.facts.frame(customers)
        known = unknown(len(customers), day=day)
        decided = self.decider.decide(features, known)
        drawn = np.array([uniform(each, campaign, day) for each in features.customer_id])
        action = sample(decided.propensities, drawn)
        delays = actions.delays(self.bundle.params)
        contact, place = action != actions.WAIT, np.maximum(action - 1, 0)
        charge, rows = features.monthly_charge.astype(np.float32), np.arange(len(action))
        scores = decided.churn_probability, decided.accept_probability
        days = int(self.bundle.params.horizon_days)
        gain = np.asarray(_gains(charge, known, *scores, self.bundle.params, days=days))[rows, place // delays]
        names = np.array([*self.bundle.offers], object)
        return pd.DataFrame(
            {
                "customer_id": list(features.customer_id),
                "contact": contact,
                "offer": np.where(contact, names[place // delays], None),
                "delay_days": np.where(contact, np.asarray(self.bundle.params.delays)[place % delays], 0),
                "propensity": decided.propensities[rows, action],
                "churn_probability": decided.churn_probability,
                "accept_probability": decided.accept_probability,
                "expected_gain": np.where(contact, gain, 0.0),
                "reasons": self._reasons(as_frame(self.bundle.schema, features)),
            },
            index=customers.index,
        )

    def _reasons(self, frame: pd.DataFrame) -> list[str]:
        contributions = self.bundle.churn.contributions(frame)
        said = []
        for row in range(len(frame)):
            top = contributions.top(row, _REASONS)
            said.append("; ".join(f"{name} {frame[name].iloc[row]} ({odds:+.2f})" for name, odds in top))
        return said


@partial(jax.jit, static_argnames="days")
def _gains(
    charge: Any, customers: Customers, churn: Any, accept: Any, params: EnvParams, *, days: int
) -> Float[Array, "B offers"]:
    states, _ = state(customers, charge, churn, accept, params)
    return jax.vmap(lambda one: contact_value(one, params, days=days).gain)(states)

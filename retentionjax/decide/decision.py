"""One decision: the program at batch 1, the draw, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from retentionjax.bundle import Bundle
from retentionjax.bundle.customer import HISTORY, RECIPIENT
from retentionjax.decide.customer import Customer, read, stack
from retentionjax.decide.draws import uniform
from retentionjax.decide.explain import Explanation, explain
from retentionjax.decide.program import DEFAULT_CAMPAIGN, Decider, sample
from retentionjax.env import actions


@dataclass(frozen=True)
class Risk:
    """Risk of leaving within `window_days`."""

    window_days: int
    today: float
    """Today's score."""
    seen: float
    """What the policy saw for it: the usual risk, moved to that of the risk state."""
    baseline: float
    """The usual score; today's where none is known."""
    is_baseline_known: bool
    elevated: bool


@dataclass(frozen=True)
class Decision:
    """What to do about one customer today, and why."""

    customer_id: str
    campaign_id: str
    action: int
    propensity: float
    """Probability with which the policy draws this very action."""
    propensities: tuple[float, ...]
    """Of all actions; they sum to 1, and what a rule removed has 0."""
    monthly_charge: float
    risk: Risk
    customer: Customer
    """What was known."""
    explanation: Explanation
    bundle: Bundle

    @property
    def offer(self) -> int | None:
        """Index of the offer of a contact, None to wait."""
        return None if self.action == actions.WAIT else (self.action - 1) // actions.delays(self.bundle.params)

    @property
    def offer_name(self) -> str | None:
        """The offer's name, None to wait."""
        return None if self.offer is None else tuple(self.bundle.offers)[self.offer]

    @property
    def delay_days(self) -> int | None:
        """Days until the contact, None to wait."""
        if self.action == actions.WAIT:
            return None
        return int(self.bundle.params.delays[(self.action - 1) % actions.delays(self.bundle.params)])

    @property
    def seed(self) -> int:
        """Seed of all that is drawn beside the action, below 2³¹."""
        return int(2**31 * uniform(f"seed {self.customer_id}", self.campaign_id, self.customer.day))


def decide(
    decider: Decider,
    customer: Mapping[str, object],
    *,
    campaign_id: str = DEFAULT_CAMPAIGN,
    where: str = "customer",
) -> Decision:
    """The decision about a customer: facts under the schema's names, `customer_id`, optionally `history`.

    The policy is stochastic and the draw a hash of customer, campaign and day: asked again, the answer is the same,
    and the propensities are true over customers and days.

    Raises DataError naming `where`, field, value and what is allowed.
    """
    facts = {name: value for name, value in customer.items() if name not in (HISTORY, RECIPIENT)}
    bundle = decider.bundle
    known = read(customer.get(HISTORY, {}), bundle.params, tuple(bundle.offers), where=f"{where}, {HISTORY}")
    return decide_with(decider, facts, known, campaign_id=campaign_id, where=where)


def decide_with(
    decider: Decider,
    facts: Mapping[str, object],
    customer: Customer,
    *,
    multiplier: float | None = None,
    bundle: Bundle | None = None,
    campaign_id: str = DEFAULT_CAMPAIGN,
    where: str = "customer",
) -> Decision:
    """Decides as `decide` does, what is known given as such. `multiplier` moves `OfferWorth.net` only; None: the
    bundle's multiplier. `bundle` is the decider's with other constants, for a what-if."""
    params = None if bundle is None else bundle.params
    bundle = decider.bundle if bundle is None else bundle
    features = decider.facts.records([facts], where=where)
    customers = stack([customer], features.monthly_charge, bundle.params)
    decided = decider.decide(features, customers, params=params)
    drawn = uniform(features.customer_id[0], campaign_id, customer.day)
    action = int(sample(decided.propensities, np.array([drawn]))[0])
    return Decision(
        customer_id=features.customer_id[0],
        campaign_id=campaign_id,
        action=action,
        propensity=float(decided.propensities[0, action]),
        propensities=tuple(decided.propensities[0].tolist()),
        monthly_charge=float(features.monthly_charge[0]),
        risk=Risk(
            window_days=int(bundle.params.risk_window_days),
            today=float(decided.churn_probability[0]),
            seen=float(decided.observation[0, 0]),
            baseline=float(decided.baseline[0]),
            is_baseline_known=customer.baseline is not None,
            elevated=bool(decided.elevated[0]),
        ),
        customer=customer,
        explanation=explain(bundle, features, customers, decided, multiplier),
        bundle=bundle,
    )

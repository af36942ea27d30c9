"""One decision: the program at batch 1, the draw, and why; the message that goes with a contact; and decisions about a
DataFrame, one row a customer in, one row a decision out.

The message is the language model's if the shield passes it, else the template: nothing unchecked leaves here. The
outcome says which of the two it is, and if the model's text was refused, by which rules and what that text was.
"""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from retentionjax import shield
from retentionjax.bundle import Bundle, drift, loading
from retentionjax.bundle.customer import HISTORY, RECIPIENT
from retentionjax.bundle.message import brief as brief_of
from retentionjax.decide.customer import USUAL, Customer, Customers, no_usual_risk, read, state, unknown
from retentionjax.decide.draws import uniform
from retentionjax.decide.explain import Explanation, angle, explain, reasons, said
from retentionjax.decide.facts import Facts
from retentionjax.decide.program import DEFAULT_CAMPAIGN, Decider, sample, stack
from retentionjax.decide.variants import phrasebook
from retentionjax.env import actions
from retentionjax.env.types import EnvParams
from retentionjax.env.value import contact_value
from retentionjax.errors import BundleError, DataError
from retentionjax.shield import Brief, Rules, Violation
from retentionjax.shield.brief import ANGLED


@dataclass(frozen=True)
class Risk:
    """Risk of leaving within `window_days`."""

    window_days: int
    today: float
    """Today's score."""
    seen: float
    """What the policy saw for it: the usual risk, moved to that of the risk state."""
    usual: float
    """The usual score; today's where none is known."""
    is_usual_known: bool
    elevated: bool


@dataclass(frozen=True)
class Decision:
    """What to do about one customer today, and why."""

    customer_id: str
    campaign_id: str
    action: int
    propensity: float
    """Probability with which the policy draws this action."""
    propensities: tuple[float, ...]
    """Propensity of each action. They sum to 1; an action that a rule removed has 0."""
    monthly_charge: float
    risk: Risk
    customer: Customer
    """What was known of the customer."""
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

    The policy is stochastic. The draw is a hash of customer, campaign and day, so the same question gets the same
    answer, and the propensities hold across customers and days.

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
    """Decides like `decide`, from facts and a customer's record that have been read already.

    `multiplier` only changes `OfferWorth.net`; None is the bundle's own. For a what-if, `bundle` is the decider's
    bundle with other constants.
    """
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
            usual=float(decided.usual[0]),
            is_usual_known=customer.usual is not None,
            elevated=bool(decided.elevated[0]),
        ),
        customer=customer,
        explanation=explain(bundle, features, customers, decided, multiplier),
        bundle=bundle,
    )


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

    @cached_property
    def _span(self) -> tuple[float, float] | None:
        return drift.span(self.bundle, str(self.bundle.schema.charge))

    def decide(
        self,
        customers: Any,
        *,
        day: int = 0,
        campaign: str = DEFAULT_CAMPAIGN,
        usual: Sequence[float] | pd.Series | None = None,
    ) -> pd.DataFrame:
        """Decides about customers who have not been contacted in this campaign.

        Args:
            customers: a DataFrame, or a table of Arrow or Polars: one row per customer, with the cells written as in
                the company's own files.
            day: of the campaign, from 0. The draw is a hash of customer, campaign and day.
            usual: each customer's churn probability on an ordinary day (such as an earlier `churn_probability`), NaN
                where it is unknown. A customer whose risk today is far above it is in trouble. Without it everybody
                counts as calm, and a policy that waits for trouble contacts nobody.

        Returns:
            One row per customer, in the order of `customers`: `customer_id`, `contact`, `offer` (its name, None to
            wait), `delay_days`, `propensity` of the action drawn, `churn_probability` within the bundle's window,
            `accept_probability` of a contact without an offer, `expected_gain` of the contact (money, against never
            contacting; 0 to wait) and `reasons`, the facts that move the risk most, with the percentage points each
            adds.

        Warns of categories and charges that training never saw, of several rows about one customer, and of a bundle
        that contacts nobody. Raises DataError naming row, field, value and what is allowed.
        """
        customers = customers.to_pandas() if hasattr(customers, "to_pandas") else customers  # of Arrow or Polars
        features = self.decider.facts.frame(customers)
        if advice := self.bundle.manifest.advice:
            warnings.warn(advice, stacklevel=2)
        if again := len(features.customer_id) - len(set(features.customer_id)):
            alone = f"rows about a customer of an earlier row: {again:,}; each is decided about as if it were alone"
            warnings.warn(alone, stacklevel=2)
        for column, count in features.unseen.items():
            warnings.warn(drift.unseen_words(column, count), stacklevel=2)
        if beyond := drift.beyond(self._span, features.monthly_charge):
            warnings.warn(drift.beyond_words(beyond), stacklevel=2)
        known = unknown(len(customers), day=day)
        if usual is not None:
            known = known._replace(usual=_usual(usual, customers.index))
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
                "reasons": [
                    "; ".join(f"{each.field} {said(each)} ({each.points:+.1f} points)" for each in why)
                    for why in reasons(self.bundle, features, _REASONS)
                ],
            },
            index=customers.index,
        )


def load(folder: str | os.PathLike[str]) -> TableDecider:
    """Opens a bundle, ready to decide about tables.

    `folder` is a bundle, a finished run, or a pointer to a bundle, on a disk or in a bucket. Every file is verified.
    Raises BundleError naming the file and the fault.

    >>> load("runs/acme").decide(customers)  # doctest: +SKIP
    """
    return TableDecider(loading.load(folder))


def _usual(given: Sequence[float] | pd.Series, index: pd.Index) -> Float[np.ndarray, " B"]:
    try:
        found = np.asarray(given, np.float32)
    except (TypeError, ValueError):
        raise DataError(f"usual holds {type(given).__name__}; allowed: a number for each customer") from None
    if found.shape != index.shape:
        raise DataError(f"usual has shape {found.shape}; allowed: {index.shape}, one for each customer")
    if isinstance(given, pd.Series) and not given.index.equals(index):
        raise DataError("usual has another index than the customers; allowed: theirs, in their order")
    if (wrong := no_usual_risk(found)).any():
        row = int(np.argmax(wrong))
        raise DataError(f"usual, row {row}: {found[row]:g}; allowed: {USUAL}, or not a number where not known")
    return found


@partial(jax.jit, static_argnames="days")
def _gains(
    charge: Any, customers: Customers, churn: Any, accept: Any, params: EnvParams, *, days: int
) -> Float[Array, "B offers"]:
    states, _ = state(customers, charge, churn, accept, params)
    return jax.vmap(lambda one: contact_value(one, params, days=days).gain)(states)


Write = Callable[[Brief, int], str]
"""(masked brief, seed) → text with stand-ins for the names: a language model with its sampling settings."""


@dataclass(frozen=True)
class Composed:
    """What is sent, and how it came to be."""

    text: str
    source: Literal["model", "template"]
    brief: Brief
    footer: str
    """Added below an e-mail by whoever sends it: unsubscribe link and postal address. Empty on other channels."""
    rules_version: str
    model_text: str | None
    """What the model wrote, names filled in; None if no model was asked."""
    violations: tuple[Violation, ...]
    """Why the model's text was not sent."""

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON holds it."""
        plain = {name: getattr(self, name) for name in ("text", "source", "footer", "rules_version", "model_text")}
        return {**plain, "channel": self.brief.channel, "violations": [asdict(each) for each in self.violations]}


def compose(
    decision: Decision, customer: Mapping[str, object], write: Write | None, *, where: str = "customer"
) -> Composed | None:
    """The message of this decision, None if it is to wait or the bundle has no shield to check one with.

    `customer` as in the file, `recipient` included. `write` is asked once, to speak to the reason why this customer may
    leave where the company names reasons, with a seed that is a hash of customer, campaign and day: asked again, the
    message is the same. Raises DataError naming `where` and field.
    """
    bundle, offer = decision.bundle, decision.offer_name
    if offer is None or bundle.message is None or bundle.rules is None:
        return None
    reader = Facts.of(bundle)
    facts = reader.made({name: value for name, value in customer.items() if name not in (HISTORY, RECIPIENT)})
    brief = brief_of(bundle.message, facts, customer.get(RECIPIENT), bundle.said_offer(offer), where=where)
    if write and brief.channel in ANGLED:
        features = reader.records([facts], where=where)
        brief = replace(brief, angle=angle(bundle, features) or None)
    text = brief.fill(write(brief.mask(), decision.seed)) if write else None
    faults = () if text is None else _faults(text, brief, bundle.rules)
    if text is not None and not faults:
        return _composed(text, "model", brief, bundle, text, ())
    fallback = shield.render(brief, bundle.rules)
    if not shield.check(fallback, brief, bundle.rules).passed:
        raise BundleError(f"{bundle.folder}: the shield refuses its own template; nothing can be sent")
    return _composed(fallback, "template", brief, bundle, text, faults)


def _faults(text: str, brief: Brief, rules: Rules) -> tuple[Violation, ...]:
    """Why what a model wrote may not be sent unread; nothing where it may."""
    verdict = shield.check(text, brief, rules, by="model", book=phrasebook([brief], rules))
    return () if verdict.passed else verdict.violations


def _composed(
    text: str,
    source: Literal["model", "template"],
    brief: Brief,
    bundle: Bundle,
    model_text: str | None,
    violations: tuple[Violation, ...],
) -> Composed:
    version = bundle.rules.version if bundle.rules else ""
    footer = shield.footer(brief) if brief.channel == "email" else ""
    return Composed(text, source, brief, footer, version, model_text, violations)

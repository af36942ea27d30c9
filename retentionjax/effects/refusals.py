"""What a log cannot tell, by name: those effects keep the prior and are marked as assumed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from retentionjax.company.offers import NONE
from retentionjax.company.prior import Effect
from retentionjax.effects import belief
from retentionjax.effects.balance import balance, predictability
from retentionjax.effects.log import Log
from retentionjax.env.types import NO_OFFER, EnvParams

FEWEST_DEPARTURES = 20
_FOLLOWED = 20  # assignments of an arm seen to the end of its effect
_BALANCED = 1e-3  # p below which facts predict the arms; a randomised log falls below it once in a thousand
_CLEAR = 4.0  # standard errors of an AUC above 0.5 that are no luck, whatever the number of arms
_TELLING = 0.01  # AUC above 0.5 below which a rule is too weak to bias anything that is seen beside its interval
_NO_DATES = (
    "no file says on which day who left; a column of two values does not: say left: {date: …, observed_until: …}, or "
    "departures"
)
_HAZARD = ("hazard_multiplier", "contact_effect", "fatigue_hazard")


@dataclass(frozen=True)
class Refusal:
    """A reason for which some effects are not estimated."""

    name: str
    effects: tuple[str, ...]
    reason: str


def refusals(log: Log, prior: Mapping[str, Effect], params: EnvParams) -> tuple[Refusal, ...]:
    """Every reason that holds for `log`, the gravest first; each with at least one effect."""
    known = belief.learnable(prior)
    found = []
    for name, effects, reason in (*_of_the_design(log, known), *_of_the_arms(log, known, params)):
        if kept := tuple(each for each in known if each in effects):
            found.append(Refusal(name, kept, reason))
    return tuple(found)


Reason = tuple[str, tuple[str, ...], str]


def _of_the_design(log: Log, known: tuple[str, ...]) -> Iterator[Reason]:
    if log.is_assumed_unconfounded:
        return
    if log.propensity is None:
        yield "no_design", known, "the log does not say with which probability each arm was drawn"
    elif (p := balance(log)) < _BALANCED:
        yield (
            "predictable_arms",
            known,
            f"facts predict who was assigned to what (p = {p:.1g}): not randomised as stated",
        )
    elif (told := predictability(log)).auc - 0.5 > max(_CLEAR * told.error, _TELLING):
        name = NONE if told.arm == NO_OFFER else log.offers[told.arm]
        found = f"facts tell who was assigned to {name} (AUC {told.auc:.2f}, 0.50 by chance): not randomised as stated"
        yield "predictable_arms", known, found


def _of_the_arms(log: Log, known: tuple[str, ...], params: EnvParams) -> Iterator[Reason]:
    hazards = tuple(name for name in known if name.partition(".")[0] in _HAZARD)
    used = sorted(set(log.arm.tolist()) - {NO_OFFER})
    for index, offer in enumerate(log.offers):
        if index not in used:
            yield "never_offered", _of_offer(offer), f"{offer} was never assigned"
    if len(used) < 2:
        yield "one_level", tuple(n for n in known if n.startswith("appeal.")), "fewer than two offers were assigned"
    if NO_OFFER not in log.arm:
        first = (f"hazard_multiplier.{log.offers[used[0]]}",) if used else ()
        yield "no_control", (*first, "contact_effect"), "nobody was deliberately left alone"
    contacts = np.bincount(log.customer[log.arm != NO_OFFER], minlength=1)
    if contacts.max(initial=0) < 2:
        yield "one_contact", ("fatigue_hazard", "accept_fatigue"), "nobody was contacted more than once"
    yield from _of_departures(log, used, hazards, params)


def _of_departures(log: Log, used: list[int], hazards: tuple[str, ...], params: EnvParams) -> Iterator[Reason]:
    if not log.tells_departures:
        yield "no_dates", (*hazards, "churn_shift", belief.DRIFT), _NO_DATES
        return
    departures = departures_by_arm(log)
    followed = log.followed_days[log.customer]
    if NO_OFFER in log.arm:
        alone = departures[NO_OFFER]
        if not (followed[log.arm == NO_OFFER] > 0).any() or (alone == 0 and sum(departures.values()) > 0):
            yield "no_departures_of_controls", hazards, "departures of those left alone are missing"
        elif alone < FEWEST_DEPARTURES:
            yield "few_departures", hazards, f"{alone} of those left alone left; needed: {FEWEST_DEPARTURES}"
    effect_days = np.asarray(params.effect_days)
    for index in used:
        name, offer = (f"hazard_multiplier.{log.offers[index]}",), log.offers[index]
        ends = log.day + int(effect_days[index]) <= followed
        if int((ends & (log.arm == index)).sum()) < _FOLLOWED:
            yield "short_observation", name, f"too few were followed to the end of {offer}'s {effect_days[index]} days"
        if departures[index] < FEWEST_DEPARTURES:
            yield "few_departures", name, f"{departures[index]} left after {offer}; needed: {FEWEST_DEPARTURES}"


def _of_offer(offer: str) -> tuple[str, ...]:
    return (f"appeal.{offer}", f"hazard_multiplier.{offer}")


def departures_by_arm(log: Log) -> dict[int, int]:
    """Customers who left, by the arm of their last assignment before it."""
    order = np.lexsort((log.day, log.customer))
    customer = log.customer[order]
    last = order[np.append(customer[1:] != customer[:-1], True)]  # of each customer, who may have none after leaving
    left = last[log.left_day[log.customer[last]] >= 0]
    arms, counts = np.unique(log.arm[left], return_counts=True)
    every = dict.fromkeys(sorted(set(log.arm.tolist())), 0)
    return every | dict(zip(arms.tolist(), counts.tolist(), strict=True))

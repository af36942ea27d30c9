"""What contacts and offers are believed to do before a company's own randomised log says more.

Each effect has a median and a 90 % interval from public trials:
- Boston Globe (Yang, Eckles, Dhillon, Aral; arXiv 2010.15835): every offer lowers churn, deeper discounts are not seen
  to lower it more, an e-mail alone does nearly half, and effects outlast the offer.
- Orange Belgium (arXiv 2312.07206): contacts moved churn by −0.28 points [−1.05, +0.50]: no effect shown.
- Ascarza, Iyengar, Schleicher (doi:10.1509/jmr.13.0483): a proactive recommendation raised churn from 6 % to 10 %.
The risk process, fatigue and appeal are declared assumptions without a trial of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retentionjax.checked import Checked, Within, did_you_mean
from retentionjax.company.offers import Offer

_GLOBE = "Boston Globe trial, arXiv 2010.15835"
_BOTH_SIGNS = "Boston Globe trial, arXiv 2010.15835; doi:10.1509/jmr.13.0483 for the other sign"
_ASSUMED = "assumed"
_DECLARED = "declared by the company"


@dataclass(frozen=True)
class Effect(Checked):
    """A belief about one number: the median and a 90 % interval; both ends at the median for a number that is known."""

    median: float
    low: float | None = None
    """5 % quantile; None: the median."""
    high: float | None = None
    """95 % quantile; None: the median."""
    source: str = _DECLARED

    @staticmethod
    def shorthand(value: Any) -> dict[str, Any]:
        """A plain number, in company.yaml, is a median without doubt."""
        return {"median": value}

    def wrong(self) -> list[tuple[str, str]]:
        """A fault if the interval does not contain the median."""
        low, high = self.interval
        if low <= self.median <= high:
            return []
        ends = f"low {low:g}, median {self.median:g} and high {high:g}"
        return [("", f"{ends} are out of order; allowed: low ≤ median ≤ high")]

    @property
    def interval(self) -> tuple[float, float]:
        """5 % and 95 % quantile."""
        return (
            self.median if self.low is None else self.low,
            self.median if self.high is None else self.high,
        )


COMMON: Mapping[str, Effect] = {
    "contact_effect": Effect(-0.05, -0.25, 0.4, _BOTH_SIGNS),
    "contact_effect_days": Effect(30, source=_ASSUMED),
    "fatigue_hazard": Effect(0.15, -0.05, 0.4, _ASSUMED),
    "accept_fatigue": Effect(0.2, 0.0, 0.5, _ASSUMED),
    "accept_risk": Effect(1.0, 0.0, 2.0, _ASSUMED),
    "risk_onset": Effect(1 / 45, 1 / 90, 2 / 45, _ASSUMED),
    "risk_recovery": Effect(1 / 7, 1 / 14, 2 / 7, _ASSUMED),
    "risk_ratio": Effect(6.0, 3.0, 12.0, _ASSUMED),
    "churn_shift": Effect(0.0, -0.1, 0.1, _ASSUMED),
    "accept_shift": Effect(0.0, -0.1, 0.1, _ASSUMED),
}
"""Effects that are one number each: `contact_effect` and `fatigue_hazard` log hazard, `contact_effect_days` days,
`accept_…` log-odds of acceptance, `risk_onset` and `risk_recovery` a day, `…_shift` log-odds of calibrated scores."""

DEEPEST = 0.42
"""Share of the charge beyond which nothing more is believed to tempt: the deepest discount of the Boston Globe's trial.
A straight line through 5 to 20 % off would have 99.9 % of all customers accept a free month."""
OF_OFFERS: Mapping[str, Effect] = {
    "appeal": Effect(8.0, 2.4, 16.0, _ASSUMED),
    "hazard_multiplier": Effect(0.75, 0.45, 1.1, _GLOBE),
    "effect_days": Effect(1.5, 1.0, 4.0, _GLOBE),
}
"""Effects of which each offer has its own, all alike a priori: `appeal` log-odds of acceptance per `Offer.share`,
`hazard_multiplier` of the daily hazard while the offer protects, `effect_days` in units of the offer's days."""
WITHOUT_OFFER = Effect(0.9, 0.6, 1.25, _GLOBE)
"""Hazard multiplier of an accepted contact without an offer. The Globe's e-mail kept 12 % of the leavers among all whom
it was sent to; if half of them did as it asked, it kept 24 % of those: not to lie at the end of what is believed."""
_PROBABILITY = Within(1e-9, 1 - 1e-6, "a probability a day, 1/45 for every 45th")
_SHIFT = Within(-20, 20, "log-odds")
RANGES: Mapping[str, Within] = {
    "contact_effect": Within(-20, 20, "log hazard"),
    "contact_effect_days": Within(1, 3650, "days"),
    "fatigue_hazard": Within(-2, 2, "log hazard a contact"),
    "accept_fatigue": _SHIFT,
    "accept_risk": _SHIFT,
    "risk_onset": _PROBABILITY,
    "risk_recovery": _PROBABILITY,
    "risk_ratio": Within(1e-3, 1e3),
    "churn_shift": _SHIFT,
    "accept_shift": _SHIFT,
    "appeal": Within(-40, 40, "log-odds per share of the charge"),
    "appeal.": _SHIFT,
    "hazard_multiplier": Within(0, 10, above=True),
    "effect_days": Within(0, 10, "times the offer's days", above=True),
    "effect_days.": Within(0, 3650, "days", above=True),
}
"""Range of each effect by name; with a point behind it, that of one offer where it is another. None is wider than that
of the environment's own constants: a run would otherwise end with the error that it could begin with."""


def resolve(offers: Mapping[str, Offer], declared: Mapping[str, Effect], median_charge: float) -> dict[str, Effect]:
    """Every effect by its name: the common ones, then `appeal.<offer>` (log-odds), `hazard_multiplier.<offer>` and
    `effect_days.<offer>` (days) of each offer in order. `declared` replaces the prior, of one offer or of all.

    An offer's appeal is its share of `median_charge` (per 30 days), `DEEPEST` at most, times the slope; that of a
    contact without an offer is 0 by definition. An offer that states its `effect_days` leaves nothing to believe.
    """
    found = {name: declared.get(name, effect) for name, effect in COMMON.items()}
    for name, offer in offers.items():
        slope = declared.get("appeal", OF_OFFERS["appeal"])
        found[f"appeal.{name}"] = _scaled(slope, min(offer.share(median_charge), DEEPEST))
    for name, offer in offers.items():
        usual = WITHOUT_OFFER if offer.is_free else declared.get("hazard_multiplier", OF_OFFERS["hazard_multiplier"])
        found[f"hazard_multiplier.{name}"] = usual
    for name, offer in offers.items():
        days = _scaled(declared.get("effect_days", OF_OFFERS["effect_days"]), offer.length)
        found[f"effect_days.{name}"] = days if offer.effect_days is None else Effect(offer.effect_days)
    return {name: declared.get(name, effect) for name, effect in found.items()}


def _scaled(effect: Effect, factor: float) -> Effect:
    low, high = effect.interval
    return Effect(effect.median * factor, low * factor, high * factor, effect.source)


def wrong_effects(declared: Mapping[str, Effect], offers: Mapping[str, Offer]) -> list[tuple[str, str]]:
    """What is wrong with a company's own effects: an unknown name, or a number that cannot be."""
    known = [*COMMON, *OF_OFFERS, *(f"{kind}.{offer}" for kind in OF_OFFERS for offer in offers)]
    found = []
    for name, effect in declared.items():
        if name not in known:
            found.append((name, f"is no effect{did_you_mean(name, known)}; allowed: {', '.join(known)}"))
            continue
        kind, point, _ = name.partition(".")
        within = RANGES.get(kind + point, RANGES[kind])
        beyond = [what for each in (effect.median, *effect.interval) if (what := within.wrong(each))]
        found += [(name, what) for what in beyond[:1]]
    return found

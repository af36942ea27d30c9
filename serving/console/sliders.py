"""What can be moved in a what-if, and between which bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retentionjax.bundle import Bundle
from serving.engine.contract import Decision

_FACTS = 3  # of the facts that move the risk most


@dataclass(frozen=True)
class Slider:
    """One thing that can be moved."""

    name: str
    """Of the form's field."""
    label: str
    value: float
    low: float
    high: float
    step: float
    hint: str = ""


def sliders(
    bundle: Bundle, facts: Mapping[str, Any], strongest: Sequence[str], decision: Decision, multiplier: float
) -> list[Slider]:
    """The charge, the numeric facts that move the risk most, then the ledger's and the campaign's part."""
    schema = bundle.schema
    numbers = [str(schema.charge), *(name for name in strongest if name in schema.numeric and name != schema.charge)]
    found = [_fact(name, float(facts[name])) for name in numbers if isinstance(facts.get(name), int | float)]
    usual = decision.churn.baseline if decision.churn else 0.2
    horizon = int(bundle.params.horizon_days) - 1
    return [
        *found[:_FACTS],
        Slider(
            "history.baseline_churn_probability", "Usual risk", round(usual, 2), 0.01, 0.99, 0.01,
            "Far below today's: something has happened",
        ),
        Slider("history.day", "Campaign day", min(decision.day, horizon), 0, horizon, 1),
        Slider("overrides.multiplier", "Price of a dollar", round(multiplier, 2), 0, 5, 0.05, "Moves the net worth"),
    ]  # fmt: skip


def _fact(name: str, value: float) -> Slider:
    """Slider from zero to twice the value; around it where it is negative."""
    span = max(abs(value), 1.0)
    step = 10.0 ** (len(str(int(span))) - 3)
    low = 0.0 if value >= 0 else value - span
    return Slider(f"fact.{name}", name, value, low, round(value + span, 2), min(1.0, max(step, 0.01)))

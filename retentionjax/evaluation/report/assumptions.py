"""Every constant of the model of the customer, as this run assumed it, and what each effect rests on."""

from collections.abc import Mapping
from typing import Any

from retentionjax.env import record
from retentionjax.env.types import EnvParams
from retentionjax.evaluation.report.content import SPACE, Block, FigureTable, Missing, Paragraph, Section
from retentionjax.evaluation.report.run_folder import FinishedRun

MEANING = {
    "horizon_days": ("length of a campaign", "days"),
    "tail_days": ("days after it that count as residual value", "days"),
    "risk_window_days": ("window that the churn probability speaks of", "days"),
    "risk_onset": ("chance a day that something raises the risk", "a day"),
    "risk_recovery": ("chance a day that a raised risk calms down", "a day"),
    "risk_ratio": ("hazard on a day of raised risk, over a calm day’s", "times"),
    "discount": ("discount while an offer runs, by offer", "share of the charge"),
    "amount": ("paid once when an offer is accepted, by offer", "$"),
    "cost": ("other cost per 30 days while an offer runs, by offer", "$"),
    "delays": ("days until a contact", "days"),
    "contact_cost": ("cost of a contact", "$"),
    "offer_days": ("how long an accepted offer runs, by offer", "days"),
    "effect_days": ("how long it protects, by offer", "days"),
    "hazard_multiplier": ("hazard while an accepted offer protects, by offer", "times"),
    "appeal": ("acceptance gained by an offer, by offer", "log-odds"),
    "accept_risk": ("acceptance gained while the risk is raised", "log-odds"),
    "accept_fatigue": ("acceptance lost per earlier contact", "log-odds"),
    "fatigue_hazard": ("hazard gained per contact in the window beyond the first", "log"),
    "contact_effect": ("hazard gained or lost after a contact", "log"),
    "contact_effect_days": ("how long that lasts", "days"),
    "cooldown_days": ("days between two contacts", "days"),
    "fatigue_window_days": ("window in which contacts tire", "days"),
    "fatigue_cap": ("contacts in that window, at most", "contacts"),
    "account_cap": ("spend on one customer in a campaign, at most", "$"),
    "charge_reference": ("charge at which the policy’s log-charge is 0", "$"),
}
"""Of each constant of `EnvParams`: what it is, and its unit."""


def section(run: FinishedRun) -> Section:
    """`assumptions`: meaning, value with its unit, the default where it differs, and the name in settings."""
    lead = (
        "What no data set here can tell is assumed, and listed in full. The limits are choices; how risk moves, how an "
        "offer changes churn and how contacts tire are beliefs. Change them with --env NAME VALUE and train again."
    )
    stage = run.get("policy")
    if stage is None:
        missing = Missing("the constants of the model", "python -m experiments.policy demo")
        return Section("assumptions", "Assumptions", lead, (missing,))
    values, defaults = stage.json("env.json"), record.to_dict(EnvParams())
    rows = [
        (MEANING[name][0], _value(values[name], defaults[name], MEANING[name][1]), name)
        for name in record.names()
        if name in values
    ]
    header = ("assumption", "value", "name")
    table = FigureTable("Constants of the model of the customer", header, tuple(rows), words=True)
    limits = {name: "none" if limit is None else f"{limit:g}" for name, limit in stage.json("limits.json").items()}
    text = (
        f"Average limits a customer and campaign: {', '.join(f'{name} {limit}' for name, limit in limits.items())}. "
        f"Acceptance was given to customers by: {stage.json('matching.json')['method']}."
    )
    return Section("assumptions", "Assumptions", lead, (Paragraph(text), *_effects(run), table))


def _effects(run: FinishedRun) -> tuple[Block, ...]:
    """Each effect of contacts and offers: as the policy was trained on it, as believed before, what it rests on."""
    stage = run.get("effects")
    if stage is None:
        return ()
    found = stage.json("effects.json")["effects"]
    rows = [(name, _between(each), _between(each["prior"]), _basis(each)) for name, each in found.items()]
    header = ("effect", "value", "believed before a log", "rests on")
    table = FigureTable("What contacts and offers do, with 90 % intervals", header, tuple(rows), words=True)
    is_declared = any(_basis(each) == "declared" for name, each in found.items() if name.startswith("hazard_"))
    return (Paragraph(_DECLARED), table) if is_declared else (table,)


_DECLARED = (
    "What is declared was taken as known without doubt. To see the same company under the prior from public trials, "
    "leave `effects` out of its file and train again: `retentionjax train company.yaml`."
)


def _between(each: Mapping[str, Any]) -> str:
    low, high = (each["median"] if each[end] is None else each[end] for end in ("low", "high"))
    return f"{each['median']:.3g}" if low == high else f"{each['median']:.3g} [{low:.3g},{SPACE}{high:.3g}]"


def _basis(each: Mapping[str, Any]) -> str:
    if each["rests_on"] == "estimated":
        return "estimated from the log"
    prior = each["prior"]
    is_known = all(prior[end] in (None, prior["median"]) for end in ("low", "high"))
    return "declared" if is_known else f"assumed ({prior['source']})"


def _value(value: object, default: object, unit: str) -> str:
    text = f"${_text(value)}" if unit == "$" else f"{_text(value)} {unit}"
    return text if _text(value) == _text(default) else f"{text} (by default {_text(default)})"


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_text(each) for each in value)
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"

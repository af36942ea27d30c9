"""The first page: what to do, what it is worth, how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retentionjax.bundle.manifest import gate_advice
from retentionjax.evaluation.report.content import (
    Block,
    Missing,
    Notice,
    Paragraph,
    Section,
    Tile,
    Tiles,
    money,
    number,
    percent,
)
from retentionjax.evaluation.report.models import leaking
from retentionjax.evaluation.report.playing import Played
from retentionjax.evaluation.report.run_folder import FinishedRun

OURS, NEVER = "ppo", "never"
WORDS = {
    "ppo": "learned policy",
    "never": "contact nobody",
    "random": "random contacts",
    "threshold": "one offer above a risk",
    "thompson": "bandit (Thompson)",
    "uplift": "uplift model",
    "greedy": "best gain today",
    "greedy_fatigue": "best gain, minding fatigue",
}
"""What a reader calls the policies; one that is not here keeps its own name."""
_PER = 1000
"""Customers that money is stated for: cents a customer mean nothing to most."""


def word(policy: str) -> str:
    """What a reader calls the policy."""
    return WORDS.get(policy, policy)


@dataclass(frozen=True)
class _Figures:
    """Figures of the comparison, per customer and campaign."""

    uplift: Mapping[str, float]
    spend: float
    roi: float | None
    best: str
    """The rule with the largest uplift."""
    lead: Mapping[str, float]
    """Lead of the policy over that rule, paired: mean, low and high."""


def section(run: FinishedRun, played: Played | None) -> Section:
    """`summary`: verdict, tiles, and the caveat that belongs to every figure of a simulator."""
    stage = run.get("evaluate")
    lead = "What to do, what it is worth, and how sure that is."
    if stage is None:
        missing = Missing("a comparison with simple rules, hence no recommendation", "python -m experiments.evaluate")
        return Section("summary", "Summary", lead, (missing,))
    figures = _read(stage.json("evaluation.json"))
    blocks: list[Block] = [*leaking(run), _verdict(run, figures), *_waits(run), Tiles(_tiles(run, figures))]
    if played is not None:
        blocks.append(Paragraph(_whom(played)))
    blocks.append(Paragraph(_CAVEAT))
    return Section("summary", "Summary", lead, tuple(blocks))


def _waits(run: FinishedRun) -> tuple[Notice, ...]:
    """That the bundle contacts nobody, where the learned policy was not shown to gain."""
    stage = run.get("bundle")
    summary = {} if stage is None else stage.summary
    if not summary.get("waits"):
        return ()
    return (Notice("warning", "The bundle of this run contacts nobody", gate_advice(summary)),)


def _read(evaluation: Mapping[str, Any]) -> _Figures:
    policies = evaluation["policies"]
    rules = [name for name in policies if name not in (OURS, NEVER)]
    best = max(rules, key=lambda name: policies[name]["uplift"]["mean"]) if rules else NEVER
    ours = policies[OURS]
    return _Figures(
        ours["uplift"], ours["spend"]["mean"], ours["roi"]["mean"], best, evaluation["paired_ppo_minus"][best]
    )


def _verdict(run: FinishedRun, figures: _Figures) -> Notice:
    uplift, lead, best = figures.uplift, figures.lead, word(figures.best)
    if run.is_synthetic:
        title = "Rehearsal only: take no decision from this page"
        return Notice("danger", title, "The customers are made up. Run it on your own data first.")
    if uplift["low"] <= 0:
        text = "On held-out customers the learned policy is not shown to earn more than contacting nobody does."
        return Notice("warning", "Do not switch this policy on", text)
    if lead["low"] <= 0:
        text = f"The learned policy pays, but is not shown to beat the simple rule “{best}” on the same budget."
        return Notice("warning", f"Use the simple rule “{best}”", text)
    text = (
        f"On held-out customers it earns more than contacting nobody, and more than the best simple rule (“{best}”) "
        "on the same budget; both 95 % intervals exclude zero. Start with a randomised part of your customers and "
        "keep a group that is never contacted."
    )
    return Notice("good", "Pilot the learned policy", text)


def _tiles(run: FinishedRun, figures: _Figures) -> tuple[Tile, ...]:
    def thousand(value: float, *, sign: bool = False) -> str:
        return money(_PER * value, sign=sign, digits=0)

    def between(estimate: Mapping[str, float]) -> str:
        low, high = (thousand(estimate[end], sign=True) for end in ("low", "high"))
        return f"95 % interval {low} to {high}"

    tiles = [
        Tile(
            f"gained per {_PER:,} customers, net of spend",
            thousand(figures.uplift["mean"], sign=True),
            between(figures.uplift),
        ),
        Tile(
            f"spent per {_PER:,} customers",
            thousand(figures.spend),
            f"each unit spent earns {number(figures.roi, 2)} on top of itself" if figures.roi is not None else "",
        ),
        Tile(
            f"compared with the best rule, “{word(figures.best)}”",
            thousand(figures.lead["mean"], sign=True),
            between(figures.lead),
        ),
    ]
    evaluate = run.stages["evaluate"].summary
    if (chance := evaluate.get("probability_beats_never")) is not None:
        doubt = int(evaluate.get("worlds", 1))
        how = f"over {doubt} draws of what offers may do" if doubt > 1 else "if offers do what is declared"
        tiles.append(Tile("chance to gain more than contacting nobody", percent(chance), how))
    if (share := evaluate.get("share_of_attainable_gain")) is not None:
        tiles.append(
            Tile("of the most that any policy could gain", percent(share), "against the exact optimum of the model")
        )
    return tuple(tiles)


def _whom(played: Played) -> str:
    offers = [
        f"{percent(share)} with {words}"
        for words, share in sorted(played.offers.items(), key=lambda item: -item[1])
        if share >= 0.005
    ]
    return (
        f"In one campaign it contacts {percent(played.reached)} of customers, {100 * played.contacts:.0f} contacts per "
        f"100 customers in all; of these {', '.join(offers)}. Everybody else is left alone."
    )


_CAVEAT = (
    "Charges, churn risks and acceptance rates come from the data named below, and every figure is about customers "
    "that no model was trained on. How an accepted offer changes churn is listed at the end, with the basis of each "
    "number. No public data set can settle what is declared or assumed there: only a randomised pilot can."
)

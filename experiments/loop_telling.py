"""The loop's figures: every policy in the true world, what was believed beside what is so, what was measured."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from experiments import customers
from experiments.loop import OFFERS, TRUTH, Sizes, Story, truth
from experiments.world import World, played, population_of
from retentionjax import bundle as bundles
from retentionjax import storage
from retentionjax.bundle import pointer
from retentionjax.bundle.manifest import GATE
from retentionjax.decide.program import Decider
from retentionjax.env import population
from retentionjax.evaluation import baselines, learned
from retentionjax.evaluation.statistics import Bootstrap
from retentionjax.tabular import plots

TOLD = "told the truth"


class Judged(NamedTuple):
    """A run's policy in the true world; $ a customer and campaign."""

    gain: np.ndarray
    """Gain over never contacting, of each customer."""
    spend: float
    sure: float
    """Probability to gain, as the run believed."""
    ships: bool


def told(out: epath.Path, story: Story, sizes: Sizes) -> str:
    """The page, which is also written into `out` as loop.md, with loop.png and loop.json."""
    judged = {name: judge(run, sizes) for name, run in story.runs.items()}
    campaigns = {name: storage.read_json(folder / "campaign.json") for name, folder in story.campaigns.items()}
    beliefs = {name: storage.read_json(run / "effects/artifacts/effects.json") for name, run in story.runs.items()}
    figures = summary(judged, campaigns, story.plan)
    storage.write_json(out / "loop.json", figures)
    storage.write_bytes(out / "loop.png", plots.png(picture(judged, campaigns, beliefs, figures)))
    page = "\n".join([*of_policies(figures), "", *of_campaigns(figures), "", *of_beliefs(beliefs)]) + "\n"
    storage.write_text(out / "loop.md", page)
    return page


# --- policies in the true world -------------------------------------------------------------------------------------


def judge(run: epath.Path, sizes: Sizes) -> Judged:
    """The run's policy on new customers, whom it knows by its bundle's scores and the world by their true risks."""
    world = World.founded(truth(), sizes.judged, sizes.seed + 1000)
    bundle = bundles.load(pointer.find(run))
    decider = Decider(bundle, sizes=(128,))
    charge = str(bundle.schema.charge)
    table: list[dict[str, Any]] = [*world.table().assign(**{charge: world.table()["fee"]}).to_dict("records")]  # type: ignore[list-item]
    risk, accepts = (each.astype(np.float64) for each in decider.score(decider.facts.records(table)))
    _, params = customers.load(run / "policy/artifacts", "held_out")
    shown = population.build(world.people["fee"].to_numpy(), risk, accepts)
    believed = params.replace(population=shown)  # type: ignore[attr-defined]
    true = truth().replace(population=population_of(world.people), charge_reference=params.charge_reference)  # type: ignore[attr-defined]
    policy = learned.load(run / "policy/artifacts/policy").policy
    never, ours = (played(each, true, believed) for each in (baselines.never(), policy))
    gate = bundle.manifest.metrics[GATE]
    return Judged(ours[0] - never[0], float(ours[1].mean()), gate["gate_probability"], not gate["waits"])


def summary(judged: Mapping[str, Judged], campaigns: Mapping[str, Any], cost: Mapping[str, float]) -> dict[str, Any]:
    """All figures; intervals are 95 % over customers, of the lift 95 % at any number of looks."""
    bootstrap = Bootstrap(len(judged[TOLD].gain))
    best = judged[TOLD].gain
    policies = {
        name: {
            "gain": bootstrap.mean(each.gain)._asdict(),
            "share_of_told": bootstrap.ratio(each.gain, best)._asdict(),
            "spend": each.spend,
            "probability_beats_never": each.sure,
            "ships": each.ships,
        }
        for name, each in judged.items()
    }
    earned = {name: each["truth"]["everybody"] for name, each in campaigns.items()}
    on_the_way = np.cumsum([each["worth"] * each["customers"] for each in earned.values()])
    return {
        "policies": policies,
        "campaigns": campaigns,
        "pilot_cost": dict(cost),
        "most_lost_on_the_way": float(max(0.0, -on_the_way.min())),
    }


# --- in words and a picture -----------------------------------------------------------------------------------------


def of_policies(figures: Mapping[str, Any]) -> list[str]:
    """A table: what each policy gains in the true world."""
    names = ("what the policy knew", "gain over never contacting, $ a customer", "of the gain when told the truth")
    lines = [f"| {' | '.join(names)} | spend, $ | P(gains), as believed | shipped |", "|---|---|---|---|---|---|"]
    for name, each in figures["policies"].items():
        gain, share = (_interval(each[key], form) for key, form in (("gain", "+.2f"), ("share_of_told", ".0%")))
        ships = "yes" if each["ships"] else "no: waits"
        lines.append(
            f"| {name} | {gain} | {share} | {each['spend']:.2f} | {each['probability_beats_never']:.2f} | {ships} |"
        )
    return lines


def of_campaigns(figures: Mapping[str, Any]) -> list[str]:
    """A table: what the policy did in the quarter, as the service measured it, believed it, and as it was; and what all
    contacts brought on the way there."""
    lift, truly = figures["campaigns"]["quarter"]["lift"], figures["campaigns"]["quarter"]["truth"]["policy"]
    lines = ["| the quarter, a customer of the policy | measured | believed | truly |", "|---|---|---|---|"]
    if lift.get("kept"):
        kept, dollars = (_measured(lift[key], times) for key, times in (("kept", 100), ("dollars", 1)))
        believed = f"{100 * (lift['believed_kept'] or 0.0):+.2f}"
        lines.append(f"| kept, in 100 | {kept} | {believed} | {100 * truly['kept']:+.2f} |")
        lines.append(f"| dollars, contacts and offers paid | {dollars} | | {truly['dollars']:+.2f} |")
    lines += ["", lift["answer"], ""]
    for name, each in figures["campaigns"].items():
        everybody = each["truth"]["everybody"]
        total = everybody["worth"] * everybody["customers"]
        lines.append(f"All contacts of the {name} truly brought {_cash(total)} ({everybody['customers']:,} customers).")
    cost, lost = figures["pilot_cost"], figures["most_lost_on_the_way"]
    planned = f"{_cash(cost['expected'])} [{_cash(cost['low'])}, {_cash(cost['high'])}]"
    return [*lines, f"Lost on the way, at most: {_cash(lost)}; the pilot was planned to cost {planned}."]


def of_beliefs(beliefs: Mapping[str, Any]) -> list[str]:
    """A table: each effect as it is, and as it was believed in each run."""
    runs = [name for name in beliefs if name != TOLD]
    lines = [f"| effect | truth | {' | '.join(runs)} |", "|---" * (len(runs) + 2) + "|"]
    for effect, value in TRUTH.items():
        cells = [_interval(_belief(beliefs[run], effect), ".2f") for run in runs]
        lines.append(f"| {effect} | {value:.2f} | {' | '.join(cells)} |")
    return lines


def picture(
    judged: Mapping[str, Judged], campaigns: Mapping[str, Any], beliefs: Mapping[str, Any], figures: Mapping[str, Any]
) -> Figure:
    """Left the gain of each policy, in the middle what the offers are believed to do, right the lift over time."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    gains, effects, lift = figure.subplots(1, 3)
    for place, (name, each) in enumerate(figures["policies"].items()):
        gain = each["gain"]
        colour = "tab:green" if name == TOLD else "tab:blue" if each["ships"] else "0.6"
        gains.errorbar(
            place, gain["mean"], [[gain["mean"] - gain["low"]], [gain["high"] - gain["mean"]]], fmt="o", color=colour
        )
    gains.set_xticks(range(len(judged)), [name.replace(" ", "\n", 1) for name in judged], fontsize=8)
    gains.axhline(0, color="0.8", zorder=0)
    gains.set_title("gain over never contacting, $ a customer\n(grey: not shipped)", fontsize=10)

    runs = [name for name in beliefs if name != TOLD]
    for shift, run in enumerate(runs):
        for place, offer in enumerate(OFFERS):
            each = _belief(beliefs[run], f"hazard_multiplier.{offer}")
            effects.plot([place + 0.2 * shift - 0.2] * 2, [each["low"], each["high"]], color=f"C{shift}", linewidth=3)
            effects.plot(place + 0.2 * shift - 0.2, each["mean"], "o", color=f"C{shift}", label=None if place else run)
    for place, offer in enumerate(OFFERS):
        effects.plot([place - 0.35, place + 0.35], [TRUTH[f"hazard_multiplier.{offer}"]] * 2, "k--", linewidth=1)
    effects.set_xticks(range(len(OFFERS)), OFFERS)
    effects.set_title("risk of leaving after accepting, as a multiple\n(90 % intervals; dashes: truth)", fontsize=10)
    effects.legend(fontsize=8)

    weeks = [each for each in campaigns["quarter"]["lift"].get("weeks", []) if each["kept"]["low"] is not None]
    days = [each["day"] for each in weeks]
    low, mean, high = ([100 * each["kept"][end] for each in weeks] for end in ("low", "mean", "high"))
    lift.fill_between(days, low, high, alpha=0.25)
    lift.plot(days, mean, label="measured")
    lift.axhline(
        100 * campaigns["quarter"]["truth"]["policy"]["kept"], color="k", linestyle="--", linewidth=1, label="truth"
    )
    lift.axhline(0, color="0.8", zorder=0)
    lift.set_xlabel("day of the quarter")
    lift.set_title("customers kept in 100, against the hold-out\n(95 % intervals, whenever one looks)", fontsize=10)
    lift.legend(fontsize=8)
    return figure


def _belief(belief: Mapping[str, Any], effect: str) -> dict[str, float]:
    found = belief["effects"][effect]
    return {"mean": found["median"], "low": found["low"], "high": found["high"]}


def _interval(each: Mapping[str, float], form: str) -> str:
    return f"{each['mean']:{form}} [{each['low']:{form}}, {each['high']:{form}}]"


def _measured(each: Mapping[str, Any], times: float) -> str:
    if each["low"] is None:
        return f"{times * each['mean']:+.2f} [not known yet]"
    return _interval({name: times * each[name] for name in ("mean", "low", "high")}, "+.2f")


def _cash(dollars: float) -> str:
    return f"{'−' if dollars < 0 else ''}${abs(dollars):,.0f}"

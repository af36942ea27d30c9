"""How the policy was learned, how it compares with simple rules, and what is left to gain."""

from collections.abc import Mapping
from typing import Any

from retentionjax.data.schema import counted
from retentionjax.evaluation.report import pictures
from retentionjax.evaluation.report.content import (
    DASH,
    Block,
    Figures,
    FigureTable,
    Missing,
    Notice,
    Picture,
    Pictures,
    Section,
    Tile,
    Tiles,
    interval,
    money,
    number,
    percent,
    percent_interval,
)
from retentionjax.evaluation.report.run_folder import FinishedRun
from retentionjax.evaluation.report.verdict import NEVER, OURS, word

_PANELS = (
    ("uplift", "gain over contacting nobody [$]"),
    ("cost_campaign_budget", "spend [$]; dashed: the budget"),
    ("multiplier_campaign_budget", "price of the budget [value per unit]"),
)
_EXACT = "exact optimum"
_VIOLATIONS = ("cooldown_violations", "fatigue_violations", "account_violations")


def learning(run: FinishedRun) -> Section:
    """`learning`: gain, spend and price by iteration."""
    lead = (
        "Training pays a price for each unit of spend. The price rises while the campaign overspends and falls while "
        "it does not. It has settled when the gain is flat, the spend lies on the budget, and the price stands still. "
        "Where more spend would not pay, spend stays below the budget, and the price of the budget is nothing."
    )
    stage = run.get("policy")
    if stage is None or not stage.metrics:
        return Section("learning", "Learning", lead, (Missing("the training", "python -m experiments.policy"),))
    records = stage.metrics
    budget = stage.json("limits.json")["campaign_budget"]
    bounds = {} if budget is None else {"cost_campaign_budget": float(budget)}
    drawing = pictures.curves(records, _PANELS, name="learning", bounds=bounds)
    last = records[-1]
    gain, spend, price = (number(last[metric], 2) for metric, _ in _PANELS)
    label = (
        f"Learning curves over {len(records)} iterations. At the end the gain is ${gain}, the spend ${spend}, "
        f"the price {price}."
    )
    steps = stage.summary["env_steps"]
    caption = f"On training customers, with expected churn; {steps / 1e6:,.1f} million customer-days in all."
    rows = (
        ("spend on held-out customers / budget", number(stage.summary["spend_ratio"])),
        ("price of the budget at the end [value per unit]", number(stage.summary["multiplier_campaign_budget"])),
        ("contacts that broke a rule, with the mask", number(stage.summary["violations_masked"], 0)),
        ("… without the mask, per contact", percent(stage.summary["violations_raw_per_contact"], 2)),
        ("training time [s]", number(stage.summary["train_seconds"], 0)),
    )
    table = FigureTable("The trained policy", ("", "figure"), rows)
    return Section("learning", "Learning", lead, (Pictures((Picture(drawing, label, caption),), beside=table),))


def compared(run: FinishedRun) -> Section:
    """`comparison`: every policy with intervals, and by risk segment."""
    lead = (
        "Each rule is tuned to spend what the learned policy spends, and meets the same held-out customers with the "
        "same random numbers. Money is per customer and campaign; brackets are 95 % intervals, customers resampled."
    )
    stage = run.get("evaluate")
    if stage is None:
        missing = Missing("the comparison", "python -m experiments.evaluate")
        return Section("comparison", "Against simple rules", lead, (missing,))
    evaluation = stage.json("evaluation.json")
    policies, paired = evaluation["policies"], evaluation["paired_ppo_minus"]
    order = sorted(policies, key=lambda name: -policies[name]["uplift"]["mean"])
    gains = {word(name): policies[name]["uplift"] for name in order if name != NEVER}
    drawing = pictures.intervals(gains, name="comparison", label="$ gained a customer", ours=word(OURS), line=0.0)
    said = "; ".join(f"{name} {number(each['mean'], 2)}" for name, each in gains.items())
    customers = int(evaluation["customers"])
    rows = int(evaluation.get("rows", customers))
    episodes = rows * int(evaluation["replicates"])
    caption = f"Gain over contacting nobody; {counted(rows, customers)}, {episodes:,} campaigns a policy."
    picture = Picture(drawing, f"Gain by policy: {said}.", caption)
    blocks: list[Block] = [Pictures((picture, _revenue(policies, order))), _table(policies, paired, order)]
    if evaluation.get("segments"):
        blocks.append(_segments(evaluation["segments"]))
    return Section("comparison", "Against simple rules", lead, tuple(blocks))


def _revenue(policies: Mapping[str, Any], order: list[str]) -> Picture:
    kept = {word(name): policies[name]["nrr"] for name in order}
    drawing = pictures.intervals(
        kept, name="revenue", label="% of revenue kept", ours=word(OURS), digits=1, scale=100.0
    )
    said = "; ".join(f"{name} {percent(each['mean'], 1)}" for name, each in kept.items())
    caption = "Net revenue kept: what customers pay after the campaign over what they paid before it."
    return Picture(drawing, f"Net revenue kept by policy: {said}.", caption)


def _table(policies: Mapping[str, Any], paired: Mapping[str, Figures], order: list[str]) -> FigureTable:
    rows = []
    for name in order:
        each = policies[name]
        broken = [each[rule]["mean"] for rule in _VIOLATIONS]
        rows.append(
            (
                word(name),
                interval(each["uplift"], sign=True) if name != NEVER else DASH,
                interval(paired[name], sign=True) if name in paired else DASH,
                money(each["spend"]["mean"]),
                number(each["roi"]["mean"], 2),
                percent(each["retention_rate"]["mean"], 1),
                percent(each["nrr"]["mean"], 1),
                number(each["contacts"]["mean"], 2),
                DASH if None in broken else percent(sum(broken), 2),
            )
        )
    header = (
        "policy",
        "gain over nobody",
        "learned policy’s lead",
        "spend",
        "gain per unit spent",
        "kept",
        "net revenue kept",
        "contacts",
        "broken rules",
    )
    return FigureTable("Every policy, best first", header, tuple(rows), strong=frozenset({order.index(OURS)}))


def _segments(segments: Mapping[str, Mapping[str, Any]]) -> FigureTable:
    rows = [
        (
            part,
            interval(each[OURS]["uplift"], sign=True),
            money(each[OURS]["spend"]["mean"]),
            number(each[OURS]["contacts"]["mean"], 2),
            percent_interval(each[OURS]["retention_rate"], 1),
            percent(each[NEVER]["retention_rate"]["mean"], 1),
        )
        for part, each in segments.items()
    ]
    header = ("customers", "gain over nobody", "spend", "contacts", "kept", "kept if nobody is contacted")
    return FigureTable("The learned policy by thirds of churn risk", header, tuple(rows))


def regret(run: FinishedRun) -> Section:
    """`regret`: share of the attainable gain, and the exact shadow price beside the learned one."""
    lead = (
        "The model is small enough to be solved exactly. The share says how much of the gain that any policy could "
        "have under this budget the learned one has; the shadow price is what the next unit of budget returns."
    )
    stage = run.get("evaluate")
    figures = {} if stage is None else stage.summary
    share, price = figures.get("share_of_attainable_gain"), figures.get("shadow_price_exact")
    command = "python -m experiments.evaluate"
    if share is None and price is None:
        missing = Missing("the exact optimum (not computed in this run)", command)
        return Section("regret", "What is left to gain", lead, (missing,))
    tiles: list[Tile] = []
    blocks: list[Block] = []
    if share is None:
        blocks.append(Missing("the share of the attainable gain (not computed in this run)", command))
    else:
        detail = ""
        if "share_of_attainable_gain_low" in figures:
            low, high = (figures[f"share_of_attainable_gain_{end}"] for end in ("low", "high"))
            detail = f"95 % interval {percent(low, 1)} to {percent(high, 1)}"
        tiles.append(Tile("of the attainable gain", percent(share, 1), detail))
    learned_multiplier = figures.get("multiplier_learned")
    if price is not None:
        text = "" if learned_multiplier is None else f"learned: {number(learned_multiplier, 2)}"
        tiles.append(Tile("is what the next unit of budget returns (exact)", number(price, 2), text))
    blocks.append(Tiles(tuple(tiles)))
    if stage is not None and (found := stage.json("evaluation.json").get("optimum")):
        blocks.append(Pictures((_optimum(found),), beside=_solved(found)))
    if share is not None and share < 0.9:
        blocks.append(Notice("warning", "A tenth or more of the attainable gain is missed", "More training may pay."))
    return Section("regret", "What is left to gain", lead, tuple(blocks))


def _optimum(found: Mapping[str, Any]) -> Picture:
    points = sorted((each["spend"], each["uplift"]) for each in found["frontier"])
    spend, gain = ([point[part] for point in points] for part in (0, 1))
    ours = {word(OURS): (found["spend"], found["uplift"]["mean"])}
    labels = ("spend [$ a customer]", "gain over nobody [$ a customer]")
    drawing = pictures.lines({_EXACT: (spend, gain)}, name="optimum", labels=labels, bound=_EXACT, dots=ours)
    best = found["at_spend"]["uplift"]
    gained = money(found["uplift"]["mean"])
    label = f"At a spend of {money(found['spend'])} the learned policy gains {gained}, the exact optimum {money(best)}."
    caption = f"The learned policy under the exact optimum, on {found['customers']} held-out customers."
    return Picture(drawing, label, caption)


def _solved(found: Mapping[str, Any]) -> FigureTable:
    budget = found["at_limit"]["budget"]
    limit = "without a limit" if budget is None else f"at their limit of {money(budget)}"
    rows = (
        ("gain of the learned policy", interval(found["uplift"])),
        ("gain of the optimum at the same spend", money(found["at_spend"]["uplift"])),
        ("spend of both", money(found["spend"])),
        (f"next unit {limit}", number(found["at_limit"]["shadow_price"], 2)),
    )
    return FigureTable(f"On {found['customers']} held-out customers, solved exactly", ("", "$ a customer"), rows)

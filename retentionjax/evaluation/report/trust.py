"""Stages beside the pipeline that question the policy: other budgets, and a real trial."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retentionjax.evaluation.report import pictures
from retentionjax.evaluation.report.content import (
    Block,
    FigureTable,
    Missing,
    Paragraph,
    Picture,
    Pictures,
    Section,
    bracketed,
    money,
    number,
    percent,
    percent_interval,
)
from retentionjax.evaluation.report.run_folder import FinishedRun, FinishedStage
from retentionjax.evaluation.report.verdict import word

_RECORDS = ("data_source", "seconds")
_ANY_BUDGET = "one policy for any budget"
_EXACT = "exact optimum"
_SHOWN = 8
"""Rows of the table of budgets at most."""
_TARGETING = {
    "never": "write to nobody",
    "all_mens": "men’s e-mail to all",
    "all_womens": "women’s e-mail to all",
    "t_learner_top": "women’s e-mail to the top 30 %",
    "greedy": "best e-mail for each",
}
_CURVES = {"mens": "men’s e-mail", "womens": "women’s e-mail", "best": "best e-mail for each"}
Points = Sequence[Mapping[str, float]]


def frontier(run: FinishedRun) -> Section:
    """`frontier`: gain against spend for many budgets, and what the next unit of it returns."""
    lead = (
        "What other budgets would bring, on the same held-out customers, and what the next unit of it returns at each."
    )
    stage = run.get("frontier")
    if stage is None:
        missing = Missing("other budgets", "python -m experiments.frontier demo")
        return Section("frontier", "Other budgets", lead, (missing,))
    found = stage.json("frontier.json")
    blocks: tuple[Block, ...] = (Pictures((_frontier(found),), beside=_budgets(found["multipliers"])), summary(stage))
    return Section("frontier", "Other budgets", lead, blocks)


def _frontier(found: Mapping[str, Any]) -> Picture:
    curves = {_EXACT: found["exact"], **{_name(name): each for name, each in found["curves"].items()}}
    series = {name: _line(points) for name, points in curves.items()}
    dots = {
        f"trained for {money(each['hyperparameter'])}": (each["spend"], each["uplift"]) for each in found["trained"]
    }
    labels = ("spend [$ a customer]", "gain over nobody [$ a customer]")
    drawing = pictures.lines(series, name="frontier", labels=labels, ours=_ANY_BUDGET, bound=_EXACT, dots=dots)
    said = "; ".join(
        f"{name} up to {money(max(y))} at {money(x[int(np.argmax(y))])}" for name, (x, y) in series.items()
    )
    caption = (
        f"Gain against spend of {found['customers']} held-out customers. No policy can lie above the exact optimum; "
        "squares are policies trained for one budget each."
    )
    return Picture(drawing, f"Gain against spend. {said}.", caption)


def _budgets(multipliers: Mapping[str, Sequence[float]]) -> FigureTable:
    rows = list(zip(multipliers["spend"], multipliers["uplift"], multipliers["multiplier"], strict=True))
    chosen = sorted({round(place) for place in np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows)))}, reverse=True)
    cells = tuple((money(rows[place][0]), money(rows[place][1]), number(rows[place][2], 2)) for place in chosen)
    return FigureTable("What a budget brings (training customers)", ("budget", "gain", "the next unit returns"), cells)


def _name(policy: str) -> str:
    return _ANY_BUDGET if policy == "any_budget" else word(policy)


def _line(points: Points) -> tuple[list[float], list[float]]:
    """(spend, gain) by rising spend."""
    order = sorted(points, key=lambda each: each["spend"])
    return [each["spend"] for each in order], [each["uplift"] for each in order]


def off_policy(run: FinishedRun) -> Section:
    """`off_policy`: value of targeting rules from a real randomised trial, and whom to write first."""
    lead = (
        "No simulator here: customers of a real randomised e-mail trial (Hillstrom), and what targeting rules would "
        "have brought, estimated from the trial’s own log. It tests the methods on people; shop and offer are others."
    )
    stage = run.get("hillstrom")
    if stage is None:
        missing = Missing("the estimate from logged decisions", "python -m experiments.hillstrom demo")
        return Section("off_policy", "On a real trial", lead, (missing,))
    figures = stage.summary
    blocks: list[Block] = [Pictures((_visits(figures), _qini(stage)))]
    rows = [
        (words, percent_interval(_estimate(figures, f"value_visit_{name}"), 1), _spend(figures, name))
        for name, words in _TARGETING.items()
        if f"value_visit_{name}" in figures
    ]
    blocks.append(FigureTable("Value a customer, doubly robust", ("rule", "visits", "spend"), tuple(rows)))
    auc = number(figures.get("propensity_auc"))
    blocks.append(
        Paragraph(f"Who was written to cannot be predicted (AUC {auc}, chance is 0.5): the trial was randomised.")
    )
    return Section("off_policy", "On a real trial", lead, tuple(blocks))


def _visits(figures: Mapping[str, Any]) -> Picture:
    rows = {
        words: _estimate(figures, f"value_visit_{name}")
        for name, words in _TARGETING.items()
        if f"value_visit_{name}" in figures
    }
    drawing = pictures.intervals(rows, name="visits", label="% of customers who visit", digits=1, scale=100.0)
    said = "; ".join(f"{words} {percent(each['mean'], 1)}" for words, each in rows.items())
    caption = f"Share of customers who visit under each rule, with 95 % intervals; {figures['rows']:,.0f} customers."
    return Picture(drawing, f"Visits by rule: {said}.", caption)


def _qini(stage: FinishedStage) -> Picture:
    curves = stage.json("curves.json")
    series = {
        _CURVES.get(name, name): ([100 * x for x in each["spend"]], [100 * y for y in each["gain"]])
        for name, each in curves.items()
    }
    labels = ("% of customers written to", "more visits per 100 customers")
    drawing = pictures.lines(series, name="qini", labels=labels, ours=_CURVES["best"])
    said = "; ".join(f"{name} {number(y[-1], 1)} at {number(x[-1], 0)} percent" for name, (x, y) in series.items())
    caption = "Visits gained when those are written first whose visits a model expects to rise most."
    return Picture(drawing, f"Visits gained by share written to: {said}.", caption)


def _spend(figures: Mapping[str, Any], name: str) -> str:
    mean, low, high = (figures[f"value_spend_{name}{end}"] for end in ("", "_low", "_high"))
    return f"{mean:.2f} USD [{low:.2f},\N{NO-BREAK SPACE}{high:.2f}]"  # whatever the company's: the trial's own


def _estimate(figures: Mapping[str, Any], key: str) -> dict[str, float | None]:
    return {"mean": figures[key], "low": figures[f"{key}_low"], "high": figures[f"{key}_high"]}


def summary(stage: FinishedStage) -> FigureTable:
    """Every figure of the stage, with its interval where it has one."""
    figures = stage.summary
    ends = ("_low", "_high")
    rows = [
        (key.replace("_", " "), bracketed(figures, key))
        for key, value in figures.items()
        if isinstance(value, int | float) and key not in _RECORDS and not key.endswith(ends)
    ]
    return FigureTable(f"Figures of the stage {stage.name}", ("figure", "value"), tuple(rows))

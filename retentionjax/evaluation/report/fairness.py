"""Are groups of customers treated alike?"""

from collections.abc import Mapping
from typing import Literal

from retentionjax.evaluation.fairness import FOUR_FIFTHS, Fairness, RateComparison
from retentionjax.evaluation.report import pictures
from retentionjax.evaluation.report.content import (
    Block,
    Figures,
    FigureTable,
    Missing,
    Notice,
    Picture,
    Pictures,
    Section,
    number,
    percent,
    percent_interval,
)
from retentionjax.evaluation.report.playing import Played

_TREATMENTS: Mapping[Literal["contacted", "offered"], str] = {"contacted": "contacts", "offered": "offers"}


def section(played: Played | None) -> Section:
    """`fairness`: contact and offer rates of each group, and a warning where the four-fifths ratio fails."""
    lead = (
        "How often each group is contacted and offered something. As a rule of thumb the lower rate should be at "
        "least four fifths of the higher one. A policy that follows risk can miss that because risks differ: the mean "
        "risk stands beside the rates. Whether the difference is acceptable is yours to decide, and in places the "
        "law’s."
    )
    if played is None:
        missing = Missing("a policy to look at", "python -m experiments.policy demo")
        return Section("fairness", "Are groups treated alike?", lead, (missing,))
    if not played.by_attribute:
        what = "no attributes by which to compare its customers"
        missing = Missing(what, "customers.groups in company.yaml")
        return Section("fairness", "Are groups treated alike?", lead, (missing,))
    blocks: list[Block] = []
    blocks += [_notice(name, each) for name, each in played.by_attribute.items()]
    blocks.append(Pictures(tuple(_picture(name, each) for name, each in played.by_attribute.items())))
    blocks.append(_table(played.by_attribute))
    return Section("fairness", "Are groups treated alike?", lead, tuple(blocks))


def warnings(played: Played | None) -> int:
    """How many four-fifths ratios fail."""
    attributes = {} if played is None else played.by_attribute
    return sum(not getattr(each, what).is_alike for each in attributes.values() for what in _TREATMENTS)


def _notice(attribute: str, fairness: Fairness) -> Notice:
    sentences = [_sentence(getattr(fairness, what), words) for what, words in _TREATMENTS.items()]
    failing = [words for what, words in _TREATMENTS.items() if not getattr(fairness, what).is_alike]
    found = f"{' and '.join(failing)} fail the four-fifths rule" if failing else "treated alike"
    return Notice("warning" if failing else "good", f"By {attribute}: {found}", " ".join(sentences))


def _sentence(found: RateComparison, words: str) -> str:
    ratio = found.ratio
    if ratio.mean != ratio.mean:
        return f"Nobody gets {words}."
    ends = f"[{number(ratio.low, 2)}, {number(ratio.high, 2)}]"
    times = f"{number(ratio.mean, 2)} {ends} times"
    text = f"{words.capitalize()}: “{found.lowest}” have {times} the rate of “{found.highest}”."
    if ratio.low < FOUR_FIFTHS <= ratio.high:
        text += " The interval contains 0.80, so chance may decide on which side it falls."
    return text


def _picture(attribute: str, fairness: Fairness) -> Picture:
    rows: dict[str, Figures] = {}
    for group, each in fairness.groups.items():
        rows[f"{group}: contacted"] = each.contacted.to_dict()
        rows[f"{group}: offer"] = each.offered.to_dict()
    drawing = pictures.intervals(
        rows, name=f"parity_{attribute}", label="% of customers in a campaign", digits=1, scale=100.0
    )
    said = "; ".join(f"{name} {percent(each['mean'], 1)}" for name, each in rows.items())
    return Picture(drawing, f"Rates by {attribute}: {said}.", f"Rates by {attribute}, with 95 % intervals.")


def _table(by_attribute: Mapping[str, Fairness]) -> FigureTable:
    rows = [
        (
            f"{name}: {group}",
            f"{each.customers:,}",
            percent(each.churn_probability, 1),
            percent_interval(each.contacted.to_dict(), 1),
            percent_interval(each.offered.to_dict(), 1),
        )
        for name, fairness in by_attribute.items()
        for group, each in fairness.groups.items()
    ]
    header = ("group", "customers", "mean churn risk", "contacted", "offered something")
    return FigureTable("Treatment by group", header, tuple(rows))

"""Stages that question the policy: other budgets, other worlds, real logged decisions. Each is optional."""

from collections.abc import Mapping
from typing import Any

from retentionjax.evaluation.report.content import Block, Missing, Section, Table, bracketed
from retentionjax.evaluation.report.run_folder import Run, Stage

_RECORDS = ("data_source", "seconds")


def frontier(run: Run) -> Section:
    """`frontier`: gain against spend for many budgets."""
    lead = "What other budgets would bring: the gain against the spend, and below it what the next dollar returns."
    missing = Missing("other budgets", "python -m experiments.frontier demo")
    return _section(run.get("frontier"), "frontier", "Other budgets", lead, missing)


def stress(run: Run) -> Section:
    """`stress`: the policy in worlds that differ from the one it was trained in."""
    lead = "The world will not be as assumed. Here it changes, the policy does not, and the gain is measured again."
    missing = Missing("the stress test", "python -m experiments.stress demo")
    return _section(run.get("stress"), "stress", "If the assumptions are wrong", lead, missing)


def off_policy(run: Run) -> Section:
    """`off_policy`: value of targeting rules from a real randomised trial."""
    lead = (
        "No simulator here: customers of a real randomised e-mail trial, and what targeting rules would have earned on "
        "them, estimated from the trial’s own log."
    )
    missing = Missing("the estimate from logged decisions", "python -m experiments.hillstrom demo")
    return _section(run.get("hillstrom"), "off_policy", "On a real trial", lead, missing)


def _section(stage: Stage | None, key: str, title: str, lead: str, missing: Missing) -> Section:
    blocks: tuple[Block, ...] = (missing,) if stage is None else (_summary(stage),)
    return Section(key, title, lead, blocks)


def _summary(stage: Stage) -> Table:
    """Every figure of the stage, with its interval where it has one."""
    figures: Mapping[str, Any] = stage.summary
    ends = ("_low", "_high")
    rows = [
        (key.replace("_", " "), bracketed(figures, key))
        for key, value in figures.items()
        if isinstance(value, int | float) and key not in _RECORDS and not key.endswith(ends)
    ]
    return Table(f"Figures of the stage {stage.name}", ("figure", "value"), tuple(rows))

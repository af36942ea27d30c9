"""An off-policy evaluation as a person reads it on a terminal."""

import numpy as np
from rich.console import Console
from rich.table import Table

from retentionjax.evaluation.business import WIDTH
from retentionjax.evaluation.off_policy.evaluation import OffPolicyReport
from retentionjax.evaluation.statistics import IntervalEstimate

_WORDS = {
    "ips": "inverse propensity",
    "snips": "self-normalised",
    "dm": "direct method",
    "dr": "doubly robust",
    "switch_dr": "switch",
    "dr_os": "optimistic shrinkage",
}


def show(report: OffPolicyReport, *, title: str, unit: str) -> None:
    """Prints a row an estimator, and below it how far the log can be trusted; `unit` is what a value is of."""
    table = Table(title=title, title_justify="left", caption=_caption(report, unit), caption_justify="left")
    table.add_column("estimator", no_wrap=True)
    for heading in ("value", "gain over the logging policy", "bound that needs no large sample"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("logging policy", _interval(report.logging), "–", "–")
    for name, estimate in report.estimates.items():
        bound = _interval(report.bounds[name]) if name in report.bounds else "–"
        table.add_row(_WORDS[name], _interval(estimate), _interval(report.gains[name], "+"), bound)
    console = Console()
    Console(width=console.width if console.is_terminal else WIDTH).print(table)


def _caption(report: OffPolicyReport, unit: str) -> str:
    found = report.overlap
    weights = f"weights: mean {found.mean_weight:.3f} ± {1.96 * found.mean_weight_error:.3f} (should be 1)"
    lines = [
        f"a {unit}; \\[low, high]: 95 % interval, customers resampled; bound: empirical Bernstein",
        f"{found.episodes:,} of {found.customers:,} customers, worth {found.effective_episodes:,.0f} of its own",
        f"{weights}, largest {found.largest_weight:.3g}; smallest propensity {found.smallest_propensity:.3g}",
    ]
    if report.left_out:
        lines.append(
            f"WARNING: {report.left_out:,} left out, their outcomes are not known yet: who left is known first; "
            "cut the log where every outcome is known"
        )
    if found.clipped_share:
        lines.append(f"{found.clipped_share:.2%} of the weights are clipped: ips and dr are biased")
    return "\n".join(lines)


def _interval(estimate: IntervalEstimate, sign: str = "") -> str:
    if not np.isfinite(estimate.low):
        return f"{estimate.mean:{sign}.3f}"
    return f"{estimate.mean:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"

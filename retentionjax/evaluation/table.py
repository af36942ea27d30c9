"""The comparison as a person reads it on a terminal."""

from collections.abc import Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

from retentionjax.evaluation.business import Metrics
from retentionjax.evaluation.statistics import IntervalEstimate

WIDTH = 124  # of a log or a file, where no terminal says


def show(
    metrics: Mapping[str, Metrics], paired: Mapping[str, IntervalEstimate], *, title: str, footer: str = ""
) -> None:
    """Prints a row a policy, best first, and `footer` below; intervals are 95 %."""
    caption = f"{_CAPTION}\n{footer}".rstrip()
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("policy", no_wrap=True)
    for heading in ("uplift over never", "ppo's lead", "spend", "return", "kept", "contacts", "violations"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in sorted(metrics, key=lambda name: -metrics[name]["uplift"].mean):
        each = metrics[name]
        broken = sum(each[rule].mean for rule in ("cooldown_violations", "fatigue_violations", "account_violations"))
        table.add_row(
            name,
            _interval(each["uplift"]) if name != "never" else "–",
            _interval(paired[name]) if name in paired else "–",
            f"{each['spend'].mean:.2f}",
            f"{each['roi'].mean:.2f}" if np.isfinite(each["roi"].mean) else "–",
            f"{each['retention_rate'].mean:.1%}",
            f"{each['contacts'].mean:.2f}",
            f"{broken:.2%}" if np.isfinite(broken) else "–",
            style="bold" if name == "ppo" else None,
        )
    console = Console()
    Console(width=console.width if console.is_terminal else WIDTH).print(table)


_CAPTION = (
    "uplift: value of the campaign less that of never contacting, the same customers and random numbers; ppo's lead:\n"
    "paired difference; return: gain over spend; \\[low, high]: 95 % interval, customers resampled; kept: customers\n"
    "there at the end."
)


def _interval(estimate: IntervalEstimate) -> str:
    return f"{estimate.mean:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"

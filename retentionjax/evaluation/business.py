"""What a policy is worth to the business, from its episodes and those of *never* under common random numbers."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from retentionjax.evaluation.rollout import Episodes
from retentionjax.evaluation.statistics import Bootstrap, IntervalEstimate

SEGMENTS = ("low risk", "middle risk", "high risk")  # thirds of the customers by baseline churn probability

Metrics = dict[str, IntervalEstimate]


def metrics(episodes: Episodes, never: Episodes, monthly_charge: npt.ArrayLike, bootstrap: Bootstrap) -> Metrics:
    """Metrics of one policy with 95 % intervals; $ are a customer and campaign.

    nrr is net revenue retention: what the customers pay at the end of the campaign, net of running offers, over what
    they paid at its start. roi is net gain over *never* per $ spent. Violation rates are per contact. cvar_spend is
    the mean spend of the dearest 5 % of episodes.
    """
    charge = np.broadcast_to(np.asarray(monthly_charge, np.float64)[:, None], np.shape(episodes.end_charge))
    gain = paired(episodes, never)
    return {
        "net_value": bootstrap.mean(episodes.value),
        "uplift": bootstrap.mean(gain),
        "spend": bootstrap.mean(episodes.spend),
        "roi": bootstrap.ratio(gain, episodes.spend),
        "nrr": bootstrap.ratio(episodes.end_charge, charge),
        "retention_rate": bootstrap.mean(episodes.retained),
        "revenue": bootstrap.mean(episodes.revenue),
        "contacts": bootstrap.mean(episodes.contacts),
        "cooldown_violations": bootstrap.ratio(episodes.cooldown_violations, episodes.contacts),
        "fatigue_violations": bootstrap.ratio(episodes.fatigue_violations, episodes.contacts),
        "account_violations": bootstrap.mean(episodes.account_violations),
        "cvar_spend": bootstrap.tail_mean(episodes.spend),
    }


def compared(
    episodes: Mapping[str, Episodes], monthly_charge: npt.ArrayLike, bootstrap: Bootstrap
) -> tuple[dict[str, Metrics], dict[str, IntervalEstimate]]:
    """Every policy's `metrics`, and by how much "ppo" is worth more than each other; "never" must be among them."""
    never, ours = episodes["never"], episodes["ppo"]
    found = {name: metrics(each, never, monthly_charge, bootstrap) for name, each in episodes.items()}
    return found, {name: bootstrap.mean(paired(ours, each)) for name, each in episodes.items() if name != "ppo"}


def paired(one: Episodes, other: Episodes) -> npt.NDArray[np.float64]:
    """Value of `one` less that of `other`, episode by episode under common random numbers, in $."""
    return np.asarray(one.value, np.float64) - np.asarray(other.value, np.float64)


def segments(churn_probability: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Third (0 low … 2 high) of each customer by churn probability."""
    p = np.asarray(churn_probability, np.float64)
    return np.searchsorted(np.quantile(p, [1 / 3, 2 / 3]), p, side="right")


def by_segment(
    episodes: Mapping[str, Episodes],
    churn_probability: npt.ArrayLike,
    monthly_charge: npt.ArrayLike,
    seed: int,
    who: npt.ArrayLike | None = None,
) -> dict[str, dict[str, Metrics]]:
    """`metrics` of every policy within each risk segment; `episodes` must hold "never". `who` is of each row."""
    segment = segments(churn_probability)
    charge = np.asarray(monthly_charge)
    ids = np.arange(len(charge)) if who is None else np.asarray(who, object)
    result: dict[str, dict[str, Metrics]] = {}
    for index, name in enumerate(SEGMENTS):
        rows = np.flatnonzero(segment == index)
        if not rows.size:
            continue
        bootstrap = Bootstrap(ids[rows], seed=seed)
        parts = {policy: Episodes(*(column[rows] for column in played)) for policy, played in episodes.items()}
        result[name] = {
            policy: metrics(part, parts["never"], charge[rows], bootstrap) for policy, part in parts.items()
        }
    return result


# --- as a table ------------------------------------------------------------------------------------------------------


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
            each["uplift"].text("+.2f") if name != "never" else "–",
            paired[name].text("+.2f") if name in paired else "–",
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

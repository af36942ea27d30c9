"""The run's policy played on its held-out customers, to see who is contacted, what they are offered, and
whether groups of them are treated alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
import pandas as pd
from etils import epath

from retentionjax import storage
from retentionjax.data import catalog
from retentionjax.data.schema import NOT_KNOWN
from retentionjax.env import population, record
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation import learned
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
from retentionjax.evaluation.report.run_folder import FinishedRun, FinishedStage
from retentionjax.evaluation.rollout import Episodes, play
from retentionjax.evaluation.statistics import Bootstrap, IntervalEstimate, percentiles

# --- rates by group --------------------------------------------------------------------------------------------------
# A policy that follows risk may treat two groups differently because their risks differ; the figures say whether it
# does, the mean risk beside them hints at why. The rule of thumb (US Uniform Guidelines on Employee Selection, 1978):
# the lower rate should be at least four fifths of the higher one.


FOUR_FIFTHS = 0.8
Floats = npt.NDArray[np.float64]


class Treatment(NamedTuple):
    """How one group fares; intervals are 95 %, customers resampled within the group with all their rows."""

    customers: int
    churn_probability: float  # mean of the group, by the model
    contacted: IntervalEstimate  # share of campaigns with a contact
    offered: IntervalEstimate  # share of campaigns with a discount offered


class RateComparison(NamedTuple):
    """The lower rate over the higher one."""

    lowest: str
    highest: str
    ratio: IntervalEstimate  # not a number where no group is ever contacted

    @property
    def is_alike(self) -> bool:
        """Whether four fifths are reached, or nobody is treated at all."""
        return not self.ratio.mean < FOUR_FIFTHS


class Fairness(NamedTuple):
    """Comparison of the groups that one attribute makes."""

    groups: Mapping[str, Treatment]
    contacted: RateComparison
    offered: RateComparison


def by_group(
    episodes: Episodes,
    groups: Sequence[str] | np.ndarray,
    churn_probability: npt.ArrayLike,
    gives: Sequence[bool] | np.ndarray,
    *,
    seed: int,
    who: npt.ArrayLike | None = None,
) -> Fairness:
    """Treatment of the groups.

    Args:
        episodes: of the policy, arrays (N, replicates).
        groups: name of the group of each of the N customers; two groups at least.
        churn_probability: of each customer.
        gives: whether each offer gives something; one that does not is a contact without an offer.
        seed: of the resampling.
        who: id of each of the N, where a customer may have several rows.

    Raises:
        ValueError: there are fewer than two groups.
    """
    names = np.asarray(groups).astype(str)
    risk = np.asarray(churn_probability, np.float64)
    contacted = (np.asarray(episodes.contacts) > 0).mean(axis=1)
    discounts = np.asarray(episodes.made)[..., np.asarray(gives) > 0].sum(axis=-1)
    offered = (discounts > 0).mean(axis=1)
    found = sorted(set(names.tolist()))
    if len(found) < 2:
        raise ValueError(f"fairness compares groups, and there is only {', '.join(found) or 'none'}")
    ids = np.arange(len(names)) if who is None else np.asarray(who, object)
    random = np.random.default_rng(seed)
    treated: dict[str, Treatment] = {}
    draws: dict[str, dict[str, Floats]] = {"contacted": {}, "offered": {}}
    for name in found:
        member = names == name
        customers = len(pd.unique(ids[member]))
        for key, rate in (("contacted", contacted), ("offered", offered)):
            drawn = Bootstrap(ids[member], seed=random).means(rate[member])
            draws[key][name] = drawn if customers > 1 else np.full_like(drawn, np.nan)  # one tells nothing of others
        rates = [
            percentiles(float(rate[member].mean()), draws[key][name])
            for key, rate in (("contacted", contacted), ("offered", offered))
        ]
        treated[name] = Treatment(customers, float(risk[member].mean()), *rates)
    contact_rates = {name: each.contacted.mean for name, each in treated.items()}
    offer_rates = {name: each.offered.mean for name, each in treated.items()}
    return Fairness(treated, _compare(contact_rates, draws["contacted"]), _compare(offer_rates, draws["offered"]))


def _compare(rates: Mapping[str, float], draws: Mapping[str, Floats]) -> RateComparison:
    lowest, highest = min(rates, key=lambda name: rates[name]), max(rates, key=lambda name: rates[name])
    if not rates[highest]:
        return RateComparison(lowest, highest, IntervalEstimate(np.nan, np.nan, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = draws[lowest] / draws[highest]
    return RateComparison(lowest, highest, percentiles(rates[lowest] / rates[highest], ratios))


# --- the run's policy -----------------------------------------------------------------------------------------------


REPLICATES = 12
"""Campaigns a customer: shares of contacts are known to a per cent or two then."""
SEED = 42


@dataclass(frozen=True)
class Played:
    """What the policy does to the held-out customers."""

    customers: int
    contacts: float
    """Contacts a customer and campaign."""
    reached: float
    """Share of campaigns with a contact."""
    offers: Mapping[str, float]
    """Offer in words to its share of the contacts."""
    by_attribute: Mapping[str, Fairness]
    """Fairness by the company's `groups`."""


def played(run: FinishedRun, *, replicates: int = REPLICATES, seed: int = SEED) -> Played | None:
    """The policy of the run on its held-out customers; None where the run has no finished policy."""
    stage = run.get("policy")
    if stage is None:
        return None
    table = stage.parquet("held_out.parquet")
    params = _params(stage, table)
    policy = learned.load(stage.folder / "artifacts/policy").policy
    episodes = play(RetentionEnv(), params, policy, jax.random.key(seed), replicates=replicates)
    made = np.asarray(episodes.made, np.float64).sum(axis=(0, 1))
    company = run.company
    words = [f"offer {index}" for index in range(len(made))]
    if company is not None:
        words = [offer.words(company.currency) for offer in company.offers.values()]
    gives = np.asarray(params.discount + params.amount + params.cost) > 0
    groups = _groups(run, table, {} if company is None else company.customers.groups)
    return Played(
        customers=table["customer_id"].nunique(),
        contacts=float(np.mean(episodes.contacts)),
        reached=float(np.mean(np.asarray(episodes.contacts) > 0)),
        offers={name: float(count / max(1.0, made.sum())) for name, count in zip(words, made, strict=True)},
        by_attribute={
            name: by_group(episodes, group, table["churn_probability"], gives, seed=seed, who=table["customer_id"])
            for name, group in groups.items()
        },
    )


def _params(stage: FinishedStage, table: pd.DataFrame) -> EnvParams:
    columns = (
        table[name].to_numpy(np.float64) for name in ("monthly_charge", "churn_probability", "accept_probability")
    )
    constants: Any = record.from_dict(stage.json("env.json"))
    params: EnvParams = constants.replace(population=population.build(*columns))
    return params


def _groups(
    run: FinishedRun, table: pd.DataFrame, attributes: Mapping[str, Mapping[str, str]]
) -> dict[str, np.ndarray]:
    """Group of each customer by attribute, from the facts of the stage `data`; attributes of one value are left out."""
    stage = run.get("data")
    facts = None if stage is None else _facts(stage.folder / "artifacts", table["customer_id"])
    if facts is None:
        return {}
    groups = {}
    for name, words in attributes.items():
        if name in facts and facts[name].nunique() > 1:
            groups[name] = facts[name].astype(str).fillna(NOT_KNOWN).replace(dict(words)).to_numpy(str)
    return groups


def _facts(folder: epath.Path, wanted: pd.Series) -> pd.DataFrame | None:
    """Rows of the set whose held-out rows are of these customers, in their order; None where no set's are.

    By place, for an id may have several rows.
    """
    for name in storage.read_json(folder / "catalog.json")["sets"]:
        schema = storage.read_json(folder / name / "schema.json")
        if not (schema["id"] and schema["charge"]):
            continue
        frame = catalog.read(folder, name).held_out
        if frame[str(schema["id"])].astype(str).tolist() == wanted.astype(str).tolist():
            return frame
    return None


# --- are groups treated alike? ---------------------------------------------------------------------------------------


_TREATMENTS: Mapping[Literal["contacted", "offered"], str] = {"contacted": "contacts", "offered": "offers"}


def treatment(played: Played | None) -> Section:
    """`fairness`: contact and offer rates of each group, and a warning where the four-fifths ratio fails."""
    lead = (
        "How often each group is contacted and offered something. As a rule of thumb the lower rate should be at "
        "least four fifths of the higher one. A policy that follows risk can miss that because risks differ: the mean "
        "risk stands beside the rates. Whether the difference is acceptable is yours to decide, and in places the "
        "law’s."
    )
    if played is None:
        missing = Missing("a policy to look at", "python -m experiments.policy")
        return Section("fairness", "Are groups treated alike?", lead, (missing,))
    if not played.by_attribute:
        what = "any attributes by which to compare its customers"
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

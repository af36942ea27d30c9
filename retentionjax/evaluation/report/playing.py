"""The run's policy played on its held-out customers, to see who is contacted, what they are offered, and
whether groups of them are treated alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd
from etils import epath

from retentionjax import storage
from retentionjax.data import catalog
from retentionjax.env import population, record
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation import fairness, learned
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
from retentionjax.evaluation.report.run_folder import FinishedRun, FinishedStage
from retentionjax.evaluation.rollout import play

REPLICATES = 12
"""Campaigns a customer: shares of contacts are known to a per cent or two then."""
SEED = 42


@dataclass(frozen=True)
class Played:
    """What the policy does to the held-out customers."""

    customers: int
    contacts: float
    """A customer and campaign."""
    reached: float
    """Share of campaigns with a contact."""
    offers: Mapping[str, float]
    """Offer in words to its share of the contacts."""
    by_attribute: Mapping[str, Fairness]
    """By the company's `groups`."""


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
        customers=len(table),
        contacts=float(np.mean(episodes.contacts)),
        reached=float(np.mean(np.asarray(episodes.contacts) > 0)),
        offers={name: float(count / max(1.0, made.sum())) for name, count in zip(words, made, strict=True)},
        by_attribute={
            name: fairness.measure(episodes, group, table["churn_probability"], gives, seed=seed)
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
            groups[name] = facts[name].astype(str).replace(dict(words)).to_numpy(str)
    return groups


def _facts(folder: epath.Path, wanted: pd.Series) -> pd.DataFrame | None:
    """Rows of the set that knows these customers, in their order; None where no set does."""
    for name in storage.read_json(folder / "catalog.json")["sets"]:
        schema = storage.read_json(folder / name / "schema.json")
        if not (schema["id"] and schema["charge"]):
            continue
        parts = catalog.read(folder, name)
        frame = pd.concat([parts.train.frame, parts.validation.frame, parts.test.frame]).set_index(str(schema["id"]))
        if wanted.isin(frame.index).all():
            return frame.loc[wanted]
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

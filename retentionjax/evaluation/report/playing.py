"""The run's policy played on its held-out customers, to see who is contacted and what they are offered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
from retentionjax.evaluation.fairness import Fairness
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

    def to_dict(self) -> dict[str, Any]:
        """Figures as JSON holds them: what is undefined as null."""
        return {
            "customers": self.customers,
            "contacts": self.contacts,
            "reached": self.reached,
            "offers": dict(self.offers),
            "by_attribute": {name: _plain(each) for name, each in self.by_attribute.items()},
        }


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


def _plain(each: Fairness) -> dict[str, Any]:
    def numbers(values: tuple[float, ...]) -> list[float | None]:
        return [value if np.isfinite(value) else None for value in values]

    return {
        "groups": {
            name: {
                "customers": group.customers,
                "churn_probability": group.churn_probability,
                "contacted": numbers(group.contacted),
                "offered": numbers(group.offered),
            }
            for name, group in each.groups.items()
        },
        **{
            key: {"lowest": found.lowest, "highest": found.highest, "ratio": numbers(found.ratio)}
            for key, found in (("contacted", each.contacted), ("offered", each.offered))
        },
    }

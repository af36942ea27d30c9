"""The customers of an experiment: charges and churn risks, with acceptance propensities.

Where the log of contacts is of other people, acceptance is matched to customers by a declared rank correlation (0: an
independent draw); otherwise it is their own. Training customers carry out-of-fold predictions, held-out ones
(validation and test splits, seen by no model) predictions of the final models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from etils import epath

from experiments import effects
from retentionjax import storage
from retentionjax.company import Company
from retentionjax.env import population, worlds
from retentionjax.env.record import from_dict, to_dict
from retentionjax.env.types import EnvParams
from retentionjax.errors import DataError
from retentionjax.tabular.calibrator import moved

HELD_OUT = ("validation", "test")
COLUMNS = ("customer_id", "monthly_charge", "churn_probability", "accept_probability", "accept_row")
MATCHING = "matching.json"
LIMITS = "limits.json"
WORLDS = "worlds.npz"
"""Constants that are in doubt, with an axis of worlds (`EnvParams.worlds`); missing where none is."""


@dataclass(frozen=True)
class JoinedCustomers:
    """Tables with `COLUMNS`, one row a customer; `accept_row` counts within the split's rows of the log."""

    train: pd.DataFrame
    held_out: pd.DataFrame
    matching: Mapping[str, Any] = field(default_factory=dict)
    """How acceptance was given to customers."""

    @property
    def median_charge(self) -> float:
        """Median charge of the training customers, per 30 days."""
        return float(self.train["monthly_charge"].median())


def join(inputs: Mapping[str, epath.Path], company: Company, *, seed: int) -> JoinedCustomers:
    """Customers from the finished stages `churn` and `acceptance`, at the level that the stage `effects` found."""
    levels = effects.levels(inputs)
    churn, accept = (
        pd.read_parquet(storage.in_memory(inputs[name] / "artifacts/predictions.parquet"))
        for name in ("churn", "acceptance")
    )
    for table, level in ((churn, levels["churn"]), (accept, levels["acceptance"])):
        table["probability"] = moved(table["probability"].to_numpy(np.float64), level)
    others = None if company.contacts is None else company.contacts.other_people
    if others is None:
        return _own(churn, accept, assumed=company.contacts is None)

    def part(splits: tuple[str, ...], seed: int) -> pd.DataFrame:
        people = churn[churn["split"].isin(splits)].reset_index(drop=True)
        propensities = accept[accept["split"].isin(splits)]["probability"].to_numpy()
        matching = population.match(
            people["probability"], propensities, rank_correlation=others.rank_correlation, seed=seed
        )
        columns = (
            people["id"],
            people["charge"],
            people["probability"],
            propensities[matching.rows],
            matching.rows,
        )
        return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))

    matching = {
        "method": "gaussian copula on ranks" if others.rank_correlation else "independent draw",
        "rank_correlation": others.rank_correlation,
        "seed": seed,
        "assumption": "the customers and the people of the contact log are different people",
    }
    return JoinedCustomers(part(("train",), seed), part(HELD_OUT, seed + 1), matching)


def _own(churn: pd.DataFrame, accept: pd.DataFrame, *, assumed: bool) -> JoinedCustomers:
    if not churn["row"].equals(accept["row"]):
        raise DataError("the stages churn and acceptance speak of different customers; run both anew")
    columns = (churn["id"], churn["charge"], churn["probability"], accept["probability"], np.arange(len(churn)))
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    is_train = (churn["split"] == "train").to_numpy()
    matching = {
        "method": "assumed: the same for everybody" if assumed else "none needed: the customers' own contacts",
        "rank_correlation": 0.0,
    }
    return JoinedCustomers(
        table[is_train].reset_index(drop=True),
        table[churn["split"].isin(HELD_OUT).to_numpy()].reset_index(drop=True),
        matching,
    )


def save(customers: JoinedCustomers, constants: EnvParams, folder: epath.Path) -> None:
    """Writes train.parquet, held_out.parquet, env.json, matching.json and, if effects are in doubt, worlds.npz."""
    for name in ("train", "held_out"):
        storage.write_bytes(folder / f"{name}.parquet", getattr(customers, name).to_parquet(index=False))
    storage.write_json(folder / "env.json", to_dict(constants))
    if constants.worlds is not None:
        storage.write_arrays(folder / WORLDS, constants.worlds)
    storage.write_json(folder / MATCHING, dict(customers.matching))


def load(folder: epath.Path, part: str) -> tuple[pd.DataFrame, EnvParams]:
    """One part (`train` or `held_out`) as saved, and the environment with it as its population."""
    table = pd.read_parquet(storage.in_memory(folder / f"{part}.parquet"))
    return table, with_customers(from_dict(storage.read_json(folder / "env.json")), table)


def budget(folder: epath.Path) -> float:
    """The campaign budget by which a policy was trained, $ a customer, as saved in `folder`; ∞ where there is none."""
    limit = storage.read_json(folder / LIMITS)["campaign_budget"]
    return np.inf if limit is None else float(limit)


def taught(params: EnvParams) -> EnvParams:
    """`params` with the worlds in which policies are trained: the first half."""
    return worlds.rows(params, slice(None, worlds.count(params) // 2))


def judged(params: EnvParams, folder: epath.Path) -> EnvParams:
    """`params` with the worlds in which policies are judged, as saved in `folder`: the half that taught none."""
    if not (folder / WORLDS).exists():
        return params
    doubted = params.replace(worlds=storage.read_arrays(folder / WORLDS))  # type: ignore[attr-defined]
    return worlds.rows(doubted, slice(worlds.count(doubted) // 2, None))


def with_customers(params: EnvParams, table: pd.DataFrame) -> EnvParams:
    """`params` about the customers of a table with `COLUMNS`."""
    columns = (table[name].to_numpy(np.float64) for name in COLUMNS[1:4])
    return params.replace(population=population.build(*columns))  # type: ignore[attr-defined]

"""The customers of an experiment: Telco's charges and churn risks, joined with Bank's acceptance propensities.

The two data sets are different people, so acceptance is matched to customers by a declared rank correlation (0: an
independent draw). Training customers carry out-of-fold predictions, held-out ones (validation and test splits, seen
by no model) predictions of the final models.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from etils import epath

from retentionjax import storage
from retentionjax.env import population
from retentionjax.env.record import from_dict
from retentionjax.env.types import EnvParams

HELD_OUT = ("validation", "test")
COLUMNS = ("customer_id", "monthly_charge", "churn_probability", "accept_probability", "accept_row")


@dataclass(frozen=True)
class Customers:
    """Tables with `COLUMNS`, one row a customer; `accept_row` counts within the split's Bank rows."""

    train: pd.DataFrame
    held_out: pd.DataFrame


def join(inputs: Mapping[str, epath.Path], *, rank_correlation: float, seed: int) -> Customers:
    """Customers from the finished stages `churn` and `acceptance`."""
    churn, accept = (
        pd.read_parquet(storage.in_memory(inputs[name] / "artifacts/predictions.parquet"))
        for name in ("churn", "acceptance")
    )

    def part(splits: tuple[str, ...], seed: int) -> pd.DataFrame:
        people = churn[churn["split"].isin(splits)].reset_index(drop=True)
        propensities = accept[accept["split"].isin(splits)]["probability"].to_numpy()
        matching = population.match(people["probability"], propensities, rank_correlation=rank_correlation, seed=seed)
        columns = (
            people["id"],
            people["charge"],
            people["probability"],
            propensities[matching.rows],
            matching.rows,
        )
        return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))

    return Customers(train=part(("train",), seed), held_out=part(HELD_OUT, seed + 1))


def save(customers: Customers, constants: Mapping[str, object], folder: epath.Path) -> None:
    """Writes train.parquet, held_out.parquet and env.json into `folder`."""
    for name in ("train", "held_out"):
        storage.write_bytes(folder / f"{name}.parquet", getattr(customers, name).to_parquet(index=False))
    storage.write_json(folder / "env.json", dict(constants))


def load(folder: epath.Path, part: str) -> tuple[pd.DataFrame, EnvParams]:
    """One part (`train` or `held_out`) as saved, and the environment with it as its population."""
    table = pd.read_parquet(storage.in_memory(folder / f"{part}.parquet"))
    return table, with_customers(from_dict(storage.read_json(folder / "env.json")), table)


def with_customers(params: EnvParams, table: pd.DataFrame) -> EnvParams:
    """`params` about the customers of a table with `COLUMNS`."""
    columns = (table[name].to_numpy(np.float64) for name in COLUMNS[1:4])
    return params.replace(population=population.build(*columns))  # type: ignore[attr-defined]

"""A small table with everything that real ones have: numbers, gaps, categories, more than a word's worth of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import Classifier, fit
from retentionjax.tabular.encoder import Encoder

PLAN = ("basic", "family", "premium")
TOWN = tuple(f"town {number}" for number in range(70))
SMALL = BoosterConfig(trees=20, depth=4, learning_rate=0.3, minimum_leaf_weight=1.0)


@dataclass(frozen=True)
class Customers:
    frame: pd.DataFrame
    label: np.ndarray

    def fit(self, rows: slice | np.ndarray = slice(None), seed: int = 1) -> Classifier:
        return fit(
            self.frame.iloc[rows],
            self.label[rows],
            Encoder(("tenure", "charge"), {"plan": PLAN, "town": TOWN}, nullable=("charge", "town")),
            SMALL,
            seed=seed,
        )


def draw(rows: int, seed: int) -> Customers:
    """`rows` customers whose risk depends on all four features."""
    random = np.random.default_rng(seed)
    tenure = random.integers(0, 60, rows)
    charge = np.where(random.random(rows) < 0.1, np.nan, random.gamma(4, 15, rows))
    plan, town = random.integers(0, len(PLAN), rows), random.integers(0, len(TOWN), rows)
    logit = -0.05 * tenure + 0.02 * np.nan_to_num(charge, nan=90.0) + 0.8 * (plan == 1) + 1.2 * (town % 7 == 3) - 1
    label = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    towns = [None if random.random() < 0.05 else TOWN[code] for code in town]
    frame = pd.DataFrame(
        {
            "tenure": tenure,
            "charge": charge,
            "plan": pd.Categorical.from_codes(plan, categories=list(PLAN)),
            "town": towns,
            "unused": "x",
        }
    )
    return Customers(frame, label)

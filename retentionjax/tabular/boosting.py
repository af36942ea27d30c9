"""XGBoost on encoded features: settings, training, folds, and scores of rows by boosters that have not seen them."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost
from jaxtyping import Float, Float32, Int

from retentionjax.checked import Checked, Within
from retentionjax.errors import DataError

Features = Float32[np.ndarray, "rows features"]
Labels = Int[np.ndarray, " rows"]
Scores = Float32[np.ndarray, " rows"]

_MOST_TWINS = 10  # rows with equal features, on average, that may still be one customer's


@dataclass(frozen=True)
class BoosterConfig(Checked):
    """Gradient-boosted trees; on a few thousand customers shallow trees and a low rate rank better than the usual 6.

    Mean AUC of 5-fold cross-validation, depth 6 at rate 0.1 → these defaults: Telco 0.840 → 0.849 (three seeds, each
    of them better), Bank 0.798 → 0.803.
    """

    trees: Annotated[int, Within(1, 10_000)] = 100
    depth: Annotated[int, Within(1, 10)] = 4
    """Most splits on the way to a leaf: the forest in JAX holds 2^depth leaves a tree."""
    learning_rate: Annotated[float, Within(1e-4, 1)] = 0.05
    rows_a_tree: Annotated[float, Within(0.01, 1)] = 0.8
    """Share of the rows that each tree sees (XGBoost's subsample)."""
    columns_a_tree: Annotated[float, Within(0.01, 1)] = 0.8
    """Share of the columns that each tree sees (colsample_bytree)."""
    minimum_leaf_weight: Annotated[float, Within(0, 1e6)] = 10.0
    """Least Σ p(1 − p) of the rows in a leaf (min_child_weight)."""
    l2: Annotated[float, Within(0, 1e6)] = 1.0
    """Penalty on squared leaf values (lambda)."""


def train(
    x: Features,
    label: Labels,
    types: list[str],
    config: BoosterConfig,
    seed: int,
    *,
    base_score: float | None = None,
    base_margin: Float[np.ndarray, " rows"] | None = None,
) -> xgboost.Booster:
    """A booster of P(label = 1); the same bytes for the same arguments on every machine.

    One thread, because sums over rows depend, in their last bits, on how threads share the rows. Each row's log-odds
    start from its `base_margin` in training and from logit `base_score` in prediction; both None: XGBoost's own start.
    """
    parameters = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": config.depth,
        "learning_rate": config.learning_rate,
        "subsample": config.rows_a_tree,
        "colsample_bytree": config.columns_a_tree,
        "min_child_weight": config.minimum_leaf_weight,
        "lambda": config.l2,
        "seed": seed,
        "nthread": 1,
    }
    if base_score is not None:
        parameters["base_score"] = base_score
    rows = matrix(x, types, label)
    if base_margin is not None:
        rows.set_base_margin(base_margin)
    return xgboost.train(parameters, rows, config.trees)


def matrix(x: Features, types: list[str], label: Labels | None = None) -> xgboost.DMatrix:
    """XGBoost's own form of encoded features: NaN is missing, categories are split natively by sets of codes."""
    return xgboost.DMatrix(x, label, feature_types=types, enable_categorical=True, nthread=1)


def score(booster: xgboost.Booster, x: Features) -> Scores:
    """The booster's probabilities, not calibrated."""
    scores: Scores = booster.inplace_predict(x)
    return scores


def assign_folds(
    x: Features, label: Labels, count: int, seed: int, who: npt.ArrayLike | None = None
) -> Int[np.ndarray, " rows"]:
    """Fold of each row, 0 to count − 1: alike in size and share of positives; rows of one customer together.

    `who` names the customer of each row. Where that tells no two rows together, rows with equal features may be one
    customer listed twice, and would otherwise be learnt in one fold and asked in another; where that would make
    customers of more than `_MOST_TWINS` rows on average, features are few and tell nobody apart: each row is by itself.
    Raises DataError when a class has fewer rows than there are folds.
    """
    fewest = int(np.bincount(label, minlength=2).min())
    if fewest < count:
        raise DataError(f"{count} folds need {count} rows of each class or more; one class has {fewest}")
    group = np.arange(len(label)) if who is None else pd.factorize(np.asarray(who, object), use_na_sentinel=False)[0]
    if group.max() + 1 == len(label):
        _, group = np.unique(pd.util.hash_pandas_object(pd.DataFrame(x), index=False).to_numpy(), return_inverse=True)
        if len(label) > _MOST_TWINS * (group.max() + 1):
            group = np.arange(len(label))
    rows = np.bincount(group)
    draws = np.random.default_rng(seed).random(len(rows))
    line = np.lexsort((draws, np.bincount(group, weights=label) / rows, rows))
    fold = np.empty(len(rows), np.int64)
    fold[line] = np.arange(len(rows)) % count
    return fold[group]


def check_folds(label: Labels, fold: Int[np.ndarray, " rows"]) -> None:
    """Raises DataError for a fold in which one class does not occur, by which no model can be judged."""
    for number in np.unique(fold):
        if np.ptp(label[fold == number]) == 0:
            only = int(label[fold == number][0])
            raise DataError(
                f"in fold {number} of {len(np.unique(fold))} all rows have the label {only}: those of the other class "
                "are of too few customers; more customers, or fewer folds, help"
            )


def cross_score(
    x: Features, label: Labels, types: list[str], fold: Int[np.ndarray, " rows"], config: BoosterConfig, seed: int
) -> Scores:
    """Score of each row by a booster trained on the other folds."""
    scores = np.empty(len(label), np.float32)
    for number in np.unique(fold):
        inside = fold == number
        scores[inside] = score(train(x[~inside], label[~inside], types, config, seed), x[inside])
    return scores

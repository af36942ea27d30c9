"""q̂: the reward to come under the target policy, learned from the log itself, each customer's by a model of others.

Fitted Q evaluation, backwards through the steps: gradient-boosted trees on (observation, action) predict
r_t + γ Σ_a π(a|x_{t+1}) q̂_{t+1}(x_{t+1}, a) (Le, Voloshin, Yue 2019). At one step it is a plain regression of reward.
Cross-fitting keeps a decision's own outcome out of its prediction (Chernozhukov et al. 2018).
"""

from dataclasses import dataclass

import numpy as np
import xgboost
from jaxtyping import Float, Float32, Int

from retentionjax.errors import ConfigError
from retentionjax.evaluation.off_policy.log import DecisionLog


@dataclass(frozen=True)
class TreesConfig:
    """Settings of the regressions; few and shallow trees, for a wrong q̂ costs variance only, never truth."""

    trees: int = 40
    depth: int = 3
    learning_rate: float = 0.15
    minimum_leaf_rows: int = 20
    folds: int = 3
    """Of customers."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses empty models and a single fold."""
        for name, least in (("trees", 1), ("depth", 1), ("minimum_leaf_rows", 1), ("folds", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; allowed: {least} or more")


def cross_fit(log: DecisionLog, target: Float[np.ndarray, "n A"], config: TreesConfig) -> Float[np.ndarray, "n A"]:
    """q̂ of every action of every decision, by models that saw none of that decision's customer.

    With fewer customers than folds, folds are as many as customers; one customer alone gets a q̂ of 0.
    """
    customers = int(log.customer.max()) + 1
    fold = np.random.default_rng(config.seed).permutation(customers)[log.customer] % min(config.folds, customers)
    model = np.zeros(log.propensities.shape)
    if customers == 1:
        return model
    for number in range(int(fold.max()) + 1):
        model[fold == number] = _fit(log, target, fold, number, config)[fold == number]
    return model


def _fit(
    log: DecisionLog, target: Float[np.ndarray, "n A"], fold: Int[np.ndarray, " n"], held_out: int, config: TreesConfig
) -> Float[np.ndarray, "n A"]:
    """q̂ of the held-out fold, and of the others as far as the recursion needs it; one model a step."""
    model = np.zeros(log.propensities.shape)
    following = np.zeros(len(log))
    for step in range(int(log.step.max()), -1, -1):
        here = log.step == step
        learn = here & (fold != held_out)
        if learn.any():
            booster = _regress(
                features(log.observation[learn], log.action[learn], log.num_actions),
                (log.reward + log.discount * following)[learn],
                config,
            )
            model[here] = predict_all(booster, log.observation[here], log.num_actions)
        if step:
            value = (target[here] * model[here]).sum(axis=1)
            following[np.flatnonzero(here) - 1] = value  # rows of an episode stand one after another
    return model


def features(
    observation: Float32[np.ndarray, "n features"], action: Int[np.ndarray, " n"], num_actions: int
) -> Float32[np.ndarray, "n inputs"]:
    """The observation, and the action as indicators."""
    return np.concatenate([observation, np.eye(num_actions, dtype=np.float32)[action]], axis=1)


def predict_all(
    booster: xgboost.Booster, observation: Float32[np.ndarray, "n features"], num_actions: int
) -> Float[np.ndarray, "n A"]:
    """The regression's answer for every action of each observation."""
    count = len(observation)
    columns = [
        booster.inplace_predict(features(observation, np.full(count, action), num_actions))
        for action in range(num_actions)
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _regress(x: Float32[np.ndarray, "n inputs"], y: Float[np.ndarray, " n"], config: TreesConfig) -> xgboost.Booster:
    settings = {
        "objective": "reg:squarederror",
        "tree_method": "hist",
        "max_depth": config.depth,
        "learning_rate": config.learning_rate,
        "min_child_weight": config.minimum_leaf_rows,
        "base_score": float(y.mean()),
        "seed": config.seed,
        "nthread": 1,
    }
    return xgboost.train(settings, xgboost.DMatrix(x, y, nthread=1), config.trees)

"""The trees of an XGBoost model, read from the library's documented JSON form and checked to be what we can follow."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost

from retentionjax.errors import ConfigError

OBJECTIVES = ("binary:logistic", "reg:squarederror")
DEEPEST = 12
"""A tree becomes a complete one of 2^depth leaves: at 12 that is 16 KB a tree."""


@dataclass(frozen=True)
class Split:
    """A question about one feature: numeric by a threshold, categorical by the codes that go right."""

    feature: int
    threshold: float
    """A row goes left if its value is below (float32 on both sides); 0 for a categorical split."""
    members: frozenset[int] | None
    missing_right: bool


@dataclass(frozen=True)
class Tree:
    """Node 0 is the root; a node stands in `splits` and `children`, or in `leaves`."""

    splits: Mapping[int, Split]
    children: Mapping[int, tuple[int, int]]
    leaves: Mapping[int, float]
    depth: int


@dataclass(frozen=True)
class Ensemble:
    """All trees; the prediction is `base` plus one leaf of each, through the logistic function if `logistic`."""

    trees: tuple[Tree, ...]
    base: float
    features: int
    logistic: bool

    @property
    def depth(self) -> int:
        """Depth of the deepest tree, at least 1."""
        return max(1, *(tree.depth for tree in self.trees))


def read_ensemble(booster: xgboost.Booster) -> Ensemble:
    """The trees of `booster`. Raises ConfigError, naming what is allowed, for a model of another kind."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    gradient, shape = learner["gradient_booster"], learner["learner_model_param"]
    if gradient["name"] != "gbtree":
        raise ConfigError(f"a forest cannot be made of the booster {gradient['name']!r}; allowed: gbtree")
    objective = learner["objective"]["name"]
    if objective not in OBJECTIVES:
        raise ConfigError(f"a forest cannot be made for the objective {objective!r}; allowed: {', '.join(OBJECTIVES)}")
    bases = _numbers(shape["base_score"])
    if int(shape["num_class"]) > 1 or int(shape.get("num_target", "1")) > 1 or len(bases) != 1:
        raise ConfigError("a forest has one output; this model has several")
    trees = tuple(_tree(each) for each in gradient["model"]["trees"])
    if not trees:
        raise ConfigError("the model has no trees yet: train it first")
    deepest = max(tree.depth for tree in trees)
    if deepest > DEEPEST:
        raise ConfigError(f"the model has a tree of depth {deepest}; allowed: {DEEPEST} or less")
    logistic = objective == "binary:logistic"
    base = _log_odds(bases[0]) if logistic else bases[0]
    return Ensemble(trees, base, int(shape["num_feature"]), logistic)


def _tree(raw: Mapping[str, Any]) -> Tree:
    members = {
        node: frozenset(raw["categories"][start : start + size])
        for node, start, size in zip(
            raw["categories_nodes"], raw["categories_segments"], raw["categories_sizes"], strict=True
        )
    }
    splits: dict[int, Split] = {}
    children: dict[int, tuple[int, int]] = {}
    leaves: dict[int, float] = {}
    deepest, pending = 0, [(0, 0)]
    while pending:
        node, level = pending.pop()
        deepest = max(deepest, level)
        left, right = raw["left_children"][node], raw["right_children"][node]
        condition = float(np.float32(raw["split_conditions"][node]))
        if left == -1:
            leaves[node] = condition
            continue
        categorical = raw["split_type"][node] == 1
        splits[node] = Split(
            feature=raw["split_indices"][node],
            threshold=0.0 if categorical else condition,
            members=members[node] if categorical else None,
            missing_right=not raw["default_left"][node],
        )
        children[node] = (left, right)
        pending += [(left, level + 1), (right, level + 1)]
    return Tree(splits, children, leaves, deepest)


def _log_odds(probability: float) -> float:
    """Log-odds as XGBoost computes them: of a probability held off 0 and 1, the odds in single precision, their
    logarithm rounded from double."""
    one, edge = np.float32(1), np.float32(1e-6)
    held = np.clip(np.float32(probability), edge, one - edge)
    return -math.log(float(one / held - one))


def _numbers(text: str) -> list[float]:
    """A number or, since XGBoost 3.1, a list of them in brackets."""
    return [float(each) for each in text.strip("[]").split(",")]

"""An XGBoost ensemble as a pure JAX function that gives the library's own prediction for every row.

Each tree is laid out as a complete binary tree, so that all trees are one array. Prediction asks each distinct
question of the ensemble once a row (a hundred trees of depth six hold 6,300 nodes but only 600 to 1,200 distinct
splits), then folds all trees from the leaves up, level by level: a node takes the value of its right or left
child. No row walks a path, so nothing depends on the data but comparisons, and the compiler vectorises over rows.
Measured on Telco, one core: 0.94 M rows a second against 0.45 M by walking the paths with index arithmetic.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xgboost
from jax import export, lax
from jaxtyping import Array, Bool, Float, Float32, UInt32

from retentionjax.tabular.classifier import Classifier
from retentionjax.tabular.ensemble import Ensemble, Split, Tree, read_ensemble

FEWEST_ROWS_A_BLOCK, MOST_ROWS_A_BLOCK = 64, 256
"""Rows predicted at once: their answers stay in the cache, and at 32 or fewer XLA no longer vectorises over rows. The
more they are, the less the loop over blocks costs, which is most of the time of a small ensemble."""
FEW_ROWS = 8
"""Up to so many rows are predicted as they are: filling a block up would cost more than it gains."""
WORD = 32
Leaf = Any  # an array, or whatever a tree map makes of it


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("threshold", "threshold_source", "members", "members_source", "split", "leaf", "base", "knots"),
    meta_fields=("features", "logistic"),
)
@dataclass(frozen=True)
class Forest:
    """A pytree. F features, S numeric and C categorical distinct splits, T trees of depth d, K calibration knots.

    A split's source says which of 2F rows it looks at: the features with missing values led to the left, then the
    features with missing values led to the right.
    """

    threshold: Leaf  # f32[S], right if the feature is not below it
    threshold_source: Leaf  # i32[S]
    members: Leaf  # u32[words, C], right if the bit of the category is set; the bit is its code + 1, see _codes
    members_source: Leaf  # i32[C]
    split: Leaf  # i32[2^d − 1, T], the inner nodes level by level: number of a numeric split, or S + a categorical one
    leaf: Leaf  # f32[2^d, T], from left to right; a leaf higher up stands at all places below it
    base: Leaf  # f32[], log-odds (or value) before any tree
    knots: Leaf  # f32[2, K], scores and probabilities of the calibrator; K = 0 without one
    features: int  # F
    logistic: bool  # the sum is a log-odds (binary:logistic), or else the prediction itself (reg:squarederror)


def compile(model: xgboost.Booster | Classifier) -> Forest:  # noqa: A001 - forest.compile, as in re.compile
    """The forest of a booster, or of a classifier with its calibrator.

    Equal to `Booster.predict`, which uses every tree; for the best iteration of an early stopped training give
    `booster[: booster.best_iteration + 1]`. Raises ConfigError for what is not a single-output ensemble of trees
    with the objective binary:logistic or reg:squarederror, and for trees deeper than 12.
    """
    if isinstance(model, Classifier):
        knots = np.stack([model.calibrator.score, model.calibrator.probability])
        return _lay_out(read_ensemble(model.booster), knots)
    return _lay_out(read_ensemble(model), np.zeros((2, 0), np.float32))


def predict(forest: Forest, x: Float[Array, "rows features"]) -> Float[Array, " rows"]:
    """Probability of each row (calibrated if the forest came from a classifier), or value for a regression.

    `x` holds encoded features in float32, NaN where missing. Pure: works under jit, vmap, scan and `jax.export`
    with a symbolic number of rows. Raises ValueError for another shape.
    """
    value = margin(forest, x)
    if not forest.logistic:
        return value
    probability = jax.nn.sigmoid(value)
    return _calibrate(forest.knots, probability) if forest.knots.shape[1] else probability


def margin(forest: Forest, x: Float[Array, "rows features"]) -> Float[Array, " rows"]:
    """Sum of base and trees: the log-odds before calibration, or the value of a regression."""
    if x.ndim != 2 or x.shape[1] != forest.features:
        raise ValueError(f"x has the shape {x.shape}; the forest takes (rows, {forest.features})")
    rows = x.shape[0]
    if not export.is_symbolic_dim(rows) and rows <= FEW_ROWS:
        return _margin_of_block(forest, x)
    size = FEWEST_ROWS_A_BLOCK
    if not export.is_symbolic_dim(rows):
        size = min(MOST_ROWS_A_BLOCK, -(-rows // size) * size)
    blocks = (rows + size - 1) // size
    filled = jnp.pad(x, ((0, blocks * size - rows), (0, 0)))
    margins = lax.map(partial(_margin_of_block, forest), filled.reshape(blocks, size, forest.features))
    return margins.reshape(blocks * size)[:rows]


def _margin_of_block(forest: Forest, x: Float[Array, "block features"]) -> Float[Array, " block"]:
    right = _answers(forest, x)
    value = forest.leaf[:, :, None]
    for level in reversed(range(forest.leaf.shape[0].bit_length() - 1)):
        nodes = forest.split[2**level - 1 : 2 ** (level + 1) - 1]
        value = jnp.where(right[nodes], value[1::2], value[0::2])
    return forest.base + value[0].sum(axis=0)


def _answers(forest: Forest, x: Float[Array, "block features"]) -> Bool[Array, "splits block"]:
    """Whether each row goes right at each distinct split."""
    values = x.astype(jnp.float32).T
    missing = jnp.isnan(values)
    quantities = jnp.concatenate([jnp.where(missing, -jnp.inf, values), jnp.where(missing, jnp.inf, values)])
    numeric = quantities[forest.threshold_source] >= forest.threshold[:, None]
    if not forest.members_source.shape[0]:
        return numeric
    words = forest.members.shape[0]
    codes = _codes(values, missing, words)[forest.members_source]
    word = forest.members[0][:, None]
    for number in range(1, words):
        word = jnp.where(codes // WORD == number, forest.members[number][:, None], word)
    categorical = (word >> (codes % WORD)) & 1 == 1
    return jnp.concatenate([numeric, categorical])


def _codes(
    values: Float[Array, "features block"], missing: Bool[Array, "features block"], words: int
) -> UInt32[Array, "sources block"]:
    """Bits of `members`: 0 is never set (invalid, missing to the left), the last always (missing to the right), the
    one before it never (a category unknown in training, which XGBoost sends left)."""
    last = words * WORD - 1
    code = jnp.clip(jnp.floor(jnp.where(missing, 0, values)), -1, last - 2).astype(jnp.int32) + 1
    return jnp.concatenate([jnp.where(missing, 0, code), jnp.where(missing, last, code)]).astype(jnp.uint32)


def _calibrate(knots: Float[Array, "2 K"], probability: Float[Array, " rows"]) -> Float[Array, " rows"]:
    """np.interp. Knots are few, so all are compared: on a CPU that beats a binary search, and needs no loop."""
    score, calibrated = knots
    above = jnp.searchsorted(score, probability, side="right", method="compare_all")
    left, right = jnp.maximum(above - 1, 0), jnp.minimum(above, score.shape[0] - 1)
    run = jnp.maximum(score[right] - score[left], np.finfo(np.float32).tiny)
    share = jnp.clip((probability - score[left]) / run, 0, 1)
    return calibrated[left] + share * (calibrated[right] - calibrated[left])


# --- layout ---------------------------------------------------------------------------------------------------


def _lay_out(ensemble: Ensemble, knots: Float32[np.ndarray, "2 K"]) -> Forest:
    found = dict.fromkeys(each for tree in ensemble.trees for each in tree.splits.values())
    splits = list(found) or [Split(feature=0, threshold=0.0, members=None, missing_right=False)]  # all trees leaves
    numeric = [each for each in splits if each.members is None]
    categorical = [each for each in splits if each.members is not None]
    place = {each: number for number, each in enumerate(numeric + categorical)}
    layouts = [_complete(tree, ensemble.depth, place) for tree in ensemble.trees]
    source = partial(_source, ensemble.features)
    return Forest(
        threshold=jnp.asarray([each.threshold for each in numeric], jnp.float32),
        threshold_source=jnp.asarray([source(each) for each in numeric], jnp.int32),
        members=jnp.asarray(_bits(categorical)),
        members_source=jnp.asarray([source(each) for each in categorical], jnp.int32),
        split=jnp.asarray(np.stack([nodes for nodes, _ in layouts], axis=1)),
        leaf=jnp.asarray(np.stack([leaves for _, leaves in layouts], axis=1)),
        base=jnp.asarray(ensemble.base, jnp.float32),
        knots=jnp.asarray(knots),
        features=ensemble.features,
        logistic=ensemble.logistic,
    )


def _source(features: int, split: Split) -> int:
    return split.feature + (features if split.missing_right else 0)


def _complete(tree: Tree, depth: int, place: dict[Split, int]) -> tuple[np.ndarray, np.ndarray]:
    """The tree as a complete one: split number of each inner node (any at all below a leaf), value of each leaf."""
    nodes = np.zeros(2**depth - 1, np.int32)
    leaves = np.zeros(2**depth, np.float32)
    pending = [(0, 0, 0)]  # node of the tree, level, place within the level
    while pending:
        node, level, across = pending.pop()
        if node in tree.splits:
            nodes[2**level - 1 + across] = place[tree.splits[node]]
            left, right = tree.children[node]
            pending += [(left, level + 1, 2 * across), (right, level + 1, 2 * across + 1)]
        else:
            below = 2 ** (depth - level)
            leaves[across * below : (across + 1) * below] = tree.leaves[node]
    return nodes, leaves


def _bits(splits: list[Split]) -> np.ndarray:
    """u32[words, C]: bit code + 1 of each category that goes right, and the last bit."""
    codes = [split.members or frozenset() for split in splits]
    words = (max((max(each, default=0) for each in codes), default=0) + 3) // WORD + 1
    bits = np.zeros((words, len(splits)), np.uint32)
    for number, members in enumerate(codes):
        for bit in (*(code + 1 for code in members), words * WORD - 1):
            bits[bit // WORD, number] |= np.uint32(1 << bit % WORD)
    return bits

"""An XGBoost ensemble as a pure JAX function that gives the library's own prediction for every row.

Numbers are compared as integers of the same order, so that denormal ones count as they do in XGBoost (XLA takes them
for 0), and trees are added one by one to the base, in its order: the sums are XGBoost's to the last bit.

Each tree is laid out as a complete binary tree, so that all trees are one array. A tree of `DENSE` levels or fewer is
folded from the leaves up, every node taking the value of its right or left child: no row walks a path, so that all of
it is one loop of comparisons and selections, vectorised over rows. Of a deeper tree the first levels are folded and
the others walked, all rows of a block side by side. The time does not depend on how many nodes ask the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xgboost
from jax import export, lax
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, UInt32

from retentionjax.tabular.classifier import Classifier
from retentionjax.tabular.ensemble import Ensemble, Split, Tree, read_ensemble

FEWEST_ROWS_A_BLOCK, MOST_ROWS_A_BLOCK = 64, 256
"""Rows predicted at once: their keys stay in the cache, and the loop over trees costs little beside them."""
FEW_ROWS = 8
"""Up to so many rows are walked through all trees at once: there is nothing to vectorise over but the trees."""
DENSE, FIRST = 6, 5
"""Levels of the deepest trees of which every node is asked, and the first levels of others of which it is: beyond,
2^depth questions cost more than a path."""
WORD = 32
_SUMMED_AT_ONCE = 128
_LEAST, _MOST = np.iinfo(np.int32).min, np.iinfo(np.int32).max
Leaf = Any  # an array, or whatever a tree map makes of it


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("threshold", "source", "members", "members_source", "leaf", "base", "knots"),
    meta_fields=("features", "logistic"),
)
@dataclass(frozen=True)
class Forest:
    """A pytree. F features, C distinct categorical splits, T trees of depth d, K calibration knots.

    A node goes right where its source is at least its threshold. There are 2F + C sources of a row: the keys of its
    features with missing values led to the left, those with missing values led to the right, and the answers (0 or 1)
    to the categorical splits.
    """

    threshold: Leaf  # i32[T, 2^d - 1], keys (see `_keys`)
    source: Leaf  # i32[T, 2^d - 1]
    members: Leaf  # u32[words, C], bit 1 + code is set if the category goes right
    members_source: Leaf  # i32[C], below 2F
    leaf: Leaf  # f32[T, 2^d], from left to right
    base: Leaf  # f32[]
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
        return _few_rows(forest, x)
    size = FEWEST_ROWS_A_BLOCK
    if not export.is_symbolic_dim(rows):
        size = min(MOST_ROWS_A_BLOCK, -(-rows // size) * size)
    blocks = (rows + size - 1) // size
    filled = jnp.pad(x, ((0, blocks * size - rows), (0, 0)))
    margins = lax.map(partial(_block, forest), filled.reshape(blocks, size, forest.features))
    return margins.reshape(blocks * size)[:rows]


def _block(forest: Forest, x: Float[Array, "block features"]) -> Float[Array, " block"]:
    depth = forest.leaf.shape[1].bit_length() - 1
    one_tree = partial(_tree, _sources(forest, x), folded=depth if depth <= DENSE else FIRST)

    def add(total: Array, tree: tuple[Array, Array, Array]) -> tuple[Array, None]:
        return total + one_tree(*tree), None

    start = jnp.broadcast_to(forest.base, x.shape[:1])
    return lax.scan(add, start, (forest.threshold, forest.source, forest.leaf))[0]


def _few_rows(forest: Forest, x: Float[Array, "rows features"]) -> Float[Array, " rows"]:
    walk = jax.vmap(partial(_tree, _sources(forest, x), folded=0, unroll=True))
    values = walk(forest.threshold, forest.source, forest.leaf)  # (trees, rows)
    start = jnp.broadcast_to(forest.base, x.shape[:1])
    return lax.scan(lambda total, value: (total + value, None), start, values, unroll=_SUMMED_AT_ONCE)[0]


def _tree(
    sources: Int32[Array, "sources block"],
    threshold: Int32[Array, " N"],
    source: Int32[Array, " N"],
    leaf: Float[Array, " leaves"],
    *,
    folded: int,
    unroll: bool = False,
) -> Float[Array, " block"]:
    """One tree, its first `folded` levels by asking all of their nodes, the others by walking to a leaf."""
    depth, rows = leaf.shape[0].bit_length() - 1, jnp.arange(sources.shape[1])

    def fold(node: int, level: int) -> Array:
        if level == folded:
            return leaf[node - threshold.shape[0]] if folded == depth else jnp.int32(node)
        is_right = sources[source[node]] >= threshold[node]
        return jnp.where(is_right, fold(2 * node + 2, level + 1), fold(2 * node + 1, level + 1))

    def step(_: Array, node: Array) -> Array:
        return 2 * node + 1 + (_at(sources, _at(source, node), rows) >= _at(threshold, node))

    reached = jnp.broadcast_to(fold(0, 0), rows.shape)
    if folded == depth:
        return reached
    return _at(leaf, lax.fori_loop(0, depth - folded, step, reached, unroll=unroll) - threshold.shape[0])


def _at(values: Array, *places: Array) -> Array:
    """Elements that are known to be there."""
    return values.at[places].get(mode="promise_in_bounds")


def _sources(forest: Forest, x: Float[Array, "block features"]) -> Int32[Array, "sources block"]:
    values = x.astype(jnp.float32).T
    missing = jnp.isnan(values)
    keys = _keys(lax.bitcast_convert_type(values, jnp.int32))
    numeric = [jnp.where(missing, _LEAST, keys), jnp.where(missing, _MOST, keys)]
    if not forest.members_source.shape[0]:
        return jnp.concatenate(numeric)
    words = forest.members.shape[0]
    codes = _codes(values, missing, words)[forest.members_source]
    word = forest.members[0][:, None]
    for number in range(1, words):
        word = jnp.where(codes // WORD == number, forest.members[number][:, None], word)
    return jnp.concatenate([*numeric, ((word >> (codes % WORD)) & 1).astype(jnp.int32)])


def _keys(bits: Int32[Any, "..."]) -> Int32[Any, "..."]:
    """Integers in the order of the float32 numbers with these bits; −0 and 0 are one."""
    return jnp.where(bits < 0, _LEAST - bits, bits)


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
    splits = [split for tree in ensemble.trees for split in tree.splits.values()]
    categorical = list(dict.fromkeys(split for split in splits if split.members is not None))
    first = 2 * ensemble.features
    answers = {split: first + number for number, split in enumerate(categorical)}
    question = partial(_question, ensemble.features, answers)
    threshold, source, leaf = zip(*(_complete(tree, ensemble.depth, question) for tree in ensemble.trees), strict=True)
    return Forest(
        threshold=jnp.asarray(np.stack(threshold)),
        source=jnp.asarray(np.stack(source)),
        members=jnp.asarray(_bits(categorical)),
        members_source=jnp.asarray([_feature(ensemble.features, each) for each in categorical], jnp.int32),
        leaf=jnp.asarray(np.stack(leaf)),
        base=jnp.asarray(ensemble.base, jnp.float32),
        knots=jnp.asarray(knots),
        features=ensemble.features,
        logistic=ensemble.logistic,
    )


def _question(features: int, answers: dict[Split, int], split: Split) -> tuple[int, int]:
    """Threshold and source of a node."""
    if split in answers:
        return 1, answers[split]
    bits = int(np.float32(split.threshold).view(np.int32))
    return (bits if bits >= 0 else int(_LEAST) - bits), _feature(features, split)


def _feature(features: int, split: Split) -> int:
    return split.feature + (features if split.missing_right else 0)


def _complete(
    tree: Tree, depth: int, question: Callable[[Split], tuple[int, int]]
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], Float32[np.ndarray, " leaves"]]:
    """The tree as a complete one: threshold and source of each inner node (any at all below a leaf), its leaves."""
    threshold, source = np.zeros((2, 2**depth - 1), np.int32)
    leaves = np.zeros(2**depth, np.float32)
    pending = [(0, 0, 0)]  # node of the tree, level, place within the level
    while pending:
        node, level, across = pending.pop()
        if node in tree.splits:
            place = 2**level - 1 + across
            threshold[place], source[place] = question(tree.splits[node])
            left, right = tree.children[node]
            pending += [(left, level + 1, 2 * across), (right, level + 1, 2 * across + 1)]
        else:
            below = 2 ** (depth - level)
            leaves[across * below : (across + 1) * below] = tree.leaves[node]
    return threshold, source, leaves


def _bits(splits: list[Split]) -> np.ndarray:
    """u32[words, C]: bit code + 1 of each category that goes right, and the last bit."""
    codes = [split.members or frozenset() for split in splits]
    words = (max((max(each, default=0) for each in codes), default=0) + 3) // WORD + 1
    bits = np.zeros((words, len(splits)), np.uint32)
    for number, members in enumerate(codes):
        for bit in (*(code + 1 for code in members), words * WORD - 1):
            bits[bit // WORD, number] |= np.uint32(1 << bit % WORD)
    return bits

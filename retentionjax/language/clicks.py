"""What readers click: a linear reading of the frozen base's states, learned from headline tests with real readers.

A pair is two wordings that were shown to readers by lot, of which one was clicked significantly more. The base is
frozen and each distinct text runs through its lower layers once; on those states a logistic regression of differences
is convex, takes seconds, and its log-odds are calibrated by the penalty that cross-validation picks (by test, so that
no headline is both learned from and judged on).

Longer wordings may win for their length alone. So the difference of lengths is a covariate while fitting, and left out
of the score (as in length-controlled AlpacaEval, Dubois et al. 2024).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int
from scipy.optimize import minimize
from scipy.special import expit

from retentionjax.errors import DataError
from retentionjax.language import forward, packing
from retentionjax.language.hub import Model
from retentionjax.language.reward_evaluation import measure

Leaf = Any

PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0)
"""Weights of the squared norm that cross-validation picks from."""
_FOLDS, _RESAMPLES = 5, 2000


@runtime_checkable
class ClickPair(Protocol):
    """Two wordings that were shown by lot, of which the first was clicked more."""

    @property
    def chosen(self) -> str:
        """The winner."""

    @property
    def rejected(self) -> str:
        """The loser."""

    @property
    def group(self) -> str:
        """The test, or all tests that share wordings."""


@struct.dataclass
class ClickHead:
    """A trained reading, and what makes its scores of the reference messages have mean 0 and standard deviation 1."""

    weight: Leaf  # f32[D], log-odds
    mean: Leaf  # f32[]
    std: Leaf  # f32[]


@dataclass(frozen=True)
class Clicks:
    """Pairs as numbers; `difference` is of the winner's less the loser's."""

    difference: Float[np.ndarray, "pairs width"]
    """Difference of the states."""
    lengths: Float[np.ndarray, "pairs 2"]
    """Tokens of the winner and of the loser."""
    groups: Int[np.ndarray, " pairs"]
    """Which pairs are of one test."""

    def take(self, rows: slice) -> "Clicks":
        """Some of the pairs, their groups numbered anew."""
        groups = np.unique(self.groups[rows], return_inverse=True)[1]
        return Clicks(self.difference[rows], self.lengths[rows], groups)


def read(model: Model, pairs: Sequence[ClickPair], *, layers: int) -> Clicks:
    """The pairs' states after `layers` layers, each distinct text read once. Raises DataError for no pairs."""
    if not pairs:
        raise DataError("there are no click pairs; allowed: at least one")
    words = list(dict.fromkeys(text for pair in pairs for text in (pair.chosen, pair.rejected)))
    place = {text: number for number, text in enumerate(words)}
    examples = [alone(model.tokenizer, text) for text in words]
    states = _states(model, examples, layers)
    chosen, rejected = ([place[getattr(pair, side)] for pair in pairs] for side in ("chosen", "rejected"))
    sizes = np.array([len(example.completion) for example in examples], np.float64)
    return Clicks(
        difference=states[chosen] - states[rejected],
        lengths=np.stack([sizes[chosen], sizes[rejected]], 1),
        groups=np.unique([pair.group for pair in pairs], return_inverse=True)[1],
    )


def alone(tokenizer: Any, text: str) -> packing.Tokenised:
    """A wording after the one token that texts begin with: an instruction would be the same for both of a pair, and
    cost more than a third of the reading."""
    begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return replace(packing.tokenise(tokenizer, "", text, system=""), prompt=np.array([begin], np.int32))


def fit(clicks: Clicks) -> Float[np.ndarray, " width"]:
    """Weights of the states, in log-odds; the penalty is the one with the least cross-validated loss."""
    # Pairs of one test alone cannot be cross-validated: every loss is 0, and the strongest penalty is the safest.
    penalty = min(PENALTIES, key=lambda each: (_cross_validated(clicks, each), -each))
    return _weights(clicks, np.ones(len(clicks.groups), bool), penalty)


def head(
    model: Model, weights: Float[np.ndarray, " width"], reference: Sequence[packing.Tokenised], *, layers: int
) -> ClickHead:
    """The reading in units of the spread that it has over the reference messages."""
    raw = _states(model, reference, layers) @ weights
    return ClickHead(jnp.asarray(weights, jnp.float32), jnp.float32(raw.mean()), jnp.float32(raw.std()))


def scores(
    found: ClickHead, states: Float[Array, "batch time hidden"], counted: Bool[Array, "batch time"]
) -> Float[Array, " batch"]:
    """The reading of each text from the states of its own tokens (`counted`) after the layers it was learned on."""
    return (_mean(states, counted) @ found.weight - found.mean) / found.std


def evaluate(weights: Float[np.ndarray, " width"], clicks: Clicks) -> dict[str, float]:
    """Accuracy, loss, calibration error and correlation with length (see `reward_evaluation.measure`).

    The accuracy's 95 % interval resamples tests, since the pairs of one test share wordings.
    """
    odds = clicks.difference @ weights
    # One number a pair: half of it is the winner's, half taken from the loser.
    found = measure(odds / 2, -odds / 2, clicks.lengths)
    right = np.bincount(clicks.groups, odds > 0)
    pairs = np.bincount(clicks.groups)
    drawn = np.random.default_rng(0).integers(0, len(pairs), (_RESAMPLES, len(pairs)))
    low, high = np.quantile(right[drawn].sum(1) / pairs[drawn].sum(1), [0.025, 0.975])
    return found | {"accuracy_low": float(low), "accuracy_high": float(high)}


def _cross_validated(clicks: Clicks, penalty: float) -> float:
    fold = np.random.default_rng(0).permutation(clicks.groups.max() + 1)[clicks.groups] % _FOLDS
    total = 0.0
    for number in range(_FOLDS):
        held_out = fold == number
        if held_out.any() and not held_out.all():
            scores = clicks.difference[held_out] @ _weights(clicks, ~held_out, penalty)
            total += float(np.logaddexp(0.0, -scores).sum())
    return total / len(fold)


def _weights(clicks: Clicks, rows: Bool[np.ndarray, " pairs"], penalty: float) -> Float[np.ndarray, " width"]:
    """The penalised maximum-likelihood weights of the states; the length's is fitted beside them and dropped."""
    spread = np.sqrt(np.square(clicks.difference[rows]).mean(0)) + 1e-6
    longer = np.log(clicks.lengths[rows, 0] / clicks.lengths[rows, 1])[:, None]
    inputs = np.concatenate([clicks.difference[rows] / spread, longer], 1)
    shrunk = np.append(np.full(len(spread), penalty), 0.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        odds = inputs @ weights
        slope = -expit(-odds) @ inputs + shrunk * weights
        return float(np.logaddexp(0.0, -odds).sum() + 0.5 * (shrunk * weights**2).sum()), slope

    found = minimize(loss, np.zeros(len(shrunk)), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x[:-1] / spread)


def _states(model: Model, examples: Sequence[packing.Tokenised], layers: int) -> Float[np.ndarray, "texts width"]:
    """Mean state of each completion's tokens."""
    found = np.zeros((len(examples), model.decoder.config.hidden_size))
    for rows, placed in packing.read_together(examples, int(model.tokenizer.pad_token_id)):
        states = np.asarray(forward.packed_trunk(model.decoder, rows, layers=layers))
        for number, row, columns in placed:
            found[number] = states[row, columns][len(examples[number].prompt) :].mean(0)
    return found


def _mean(
    states: Float[Array, "batch time hidden"], counted: Bool[Array, "batch time"]
) -> Float[Array, "batch hidden"]:
    weights = counted[..., None].astype(states.dtype)
    return (states * weights).sum(1) / jnp.maximum(weights.sum(1), 1.0)

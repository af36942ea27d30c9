"""Trains the network of the shield's second reader that scores words: see `retentionjax.shield.fault_scores`.

Every word begins at its vector in `wordings/vectors.en.npz`: what all-MiniLM-L6-v2 (Apache-2.0) makes of it alone, of
that the 64 strongest components (`experiments.word_vectors`). What the messages add to it is learned. Two losses are
summed: of each message's log-odds, and of the scores of words, which marks say are at fault or not.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from retentionjax.shield.fault_scores import BEGIN, REACH, SPARED, UNKNOWN, known
from retentionjax.tracking import progress

VECTORS = Path(__file__).parent / "wordings" / "vectors.en.npz"
WIDTH = 64
_LAYERS = 2
_EPOCHS = 8
_STEP = 4e-3
_DROPPED = 0.15
_UNKNOWN = 0.1
"""Share of words that are hidden from the network."""
_CERTAIN = 0.98
"""What a message's label is taken for: some are wrong."""
_TOKENS = 2_048
_MESSAGES = 128
"""Tokens and messages of a batch, at the most."""
_LONGEST = 400
Parameters = dict[str, chex.Array]


class Lesson(NamedTuple):
    """A message to learn from."""

    tokens: Sequence[str]
    fault: Sequence[bool] | None
    """Which of them are at fault, if somebody has said."""
    bad: bool
    weight: float


class Batch(NamedTuple):
    """Messages in a row, with gaps as wide as the network sees between them."""

    word: chex.Array  # int [tokens]
    message: chex.Array  # int [tokens]; _MESSAGES where there is none
    fault: chex.Array  # float [tokens]
    marked: chex.Array  # float [tokens]; weight of the message, 0 where nobody has said which words are at fault
    bad: chex.Array  # float [messages]
    weight: chex.Array  # float [messages]; 0 where there is none


def trained(lessons: Sequence[Lesson], seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a network that has learned from `lessons`: see `FaultScores.of`."""
    words, vectors = _vocabulary(lessons)
    row = {word: at for at, word in enumerate(words)}
    rows = [_rows(each, row) for each in lessons]
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    parameters = _initial(key, len({one for each in rows for one in each}) + 3)
    steps = sum(1 for _ in _batches(lessons, rows, np.arange(len(lessons)))) * _EPOCHS
    schedule = optax.warmup_cosine_decay_schedule(0.0, _STEP, steps // 15 + 1, steps + steps // 15 + 1, _STEP / 50)
    decayed = jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=1e-2, mask=decayed))
    state = optimizer.init(parameters)

    @jax.jit
    def step(
        parameters: Parameters, state: optax.OptState, batch: Batch, key: chex.PRNGKey
    ) -> tuple[Parameters, optax.OptState]:
        gradient = jax.grad(_loss)(parameters, vectors, batch, key)
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state

    with progress("the second reader's network", _EPOCHS, "epochs") as bar:
        for _ in range(_EPOCHS):
            for batch in _batches(lessons, rows, rng.permutation(len(lessons))):
                key, own = jax.random.split(key)
                parameters, state = step(parameters, state, batch, own)
            bar.advance(1)
    return _packed(words, vectors, parameters)


def _vocabulary(lessons: Sequence[Lesson]) -> tuple[list[str], chex.Array]:
    """Words, those of the lessons first, and their vectors [words, WIDTH]; none begins an unknown word twice."""
    with np.load(VECTORS, allow_pickle=False) as file:
        given = bytes(file["words"]).decode().split("\n")
        vectors = file["vectors"] * file["scale"].astype(np.float32)
    at = {word: index for index, word in enumerate(given)}
    seen = sorted({known(token, at) for each in lessons for token in each.tokens} - {SPARED, UNKNOWN})
    rest = sorted(set(given) - set(seen))
    words = [BEGIN, UNKNOWN, SPARED, *seen, *rest]
    own = np.zeros((3, WIDTH), np.float32)
    return words, jnp.asarray(np.concatenate([own, vectors[[at[word] for word in (*seen, *rest)]]]))


def _rows(example: Lesson, row: Mapping[str, int]) -> list[int]:
    return [row[known(token, row)] for token in (BEGIN, *example.tokens[:_LONGEST])]


def _batches(lessons: Sequence[Lesson], rows: Sequence[Sequence[int]], order: np.ndarray) -> Iterator[Batch]:
    chosen: list[int] = []
    length = REACH
    for one in order:
        if length + len(rows[one]) + REACH > _TOKENS or len(chosen) == _MESSAGES:
            yield _batch(lessons, rows, chosen)
            chosen, length = [], REACH
        chosen.append(int(one))
        length += len(rows[one]) + REACH
    yield _batch(lessons, rows, chosen)


def _batch(lessons: Sequence[Lesson], rows: Sequence[Sequence[int]], chosen: Sequence[int]) -> Batch:
    word, message = np.zeros(_TOKENS, np.int32), np.full(_TOKENS, _MESSAGES, np.int32)
    fault, marked, bad, weight = *np.zeros((2, _TOKENS), np.float32), *np.zeros((2, _MESSAGES), np.float32)
    start = REACH
    for place, one in enumerate(chosen):
        end = start + len(rows[one])
        word[start:end], message[start:end] = rows[one], place
        if (given := lessons[one].fault) is not None:
            fault[start + 1 : end], marked[start:end] = given[:_LONGEST], lessons[one].weight
        bad[place], weight[place] = lessons[one].bad, lessons[one].weight
        start = end + REACH
    return Batch(word, message, fault, marked, bad, weight)


def _initial(key: chex.PRNGKey, learned: int) -> Parameters:
    """What is learned; `learned` words have a vector of their own beside the given one."""
    keys = jax.random.split(key, 4)
    span = (2 * REACH + 1) * WIDTH
    return {
        "own": jnp.zeros((learned, WIDTH)).at[:3].set(0.5 * jax.random.normal(keys[0], (3, WIDTH))),
        "entry": jax.random.normal(keys[1], (WIDTH, WIDTH)) * jnp.sqrt(2 / WIDTH),
        "entry_shift": jnp.zeros(WIDTH),
        "kernels": jax.random.normal(keys[2], (_LAYERS, span, WIDTH)) * jnp.sqrt(0.5 / span),
        "shifts": jnp.zeros((_LAYERS, WIDTH)),
        "score": jnp.append(0.1 * jax.random.normal(keys[3], (WIDTH,)), -2.0),
        "message": jnp.zeros(WIDTH + 2).at[-2].set(1.0),
    }


def _loss(parameters: Parameters, vectors: chex.Array, batch: Batch, key: chex.PRNGKey) -> chex.Array:
    """Cross-entropy of messages, label smoothed, and that of words, each weighed by its message."""
    score, log_odds = _judged(parameters, vectors, batch, key)
    label = batch.bad * (2 * _CERTAIN - 1) + 1 - _CERTAIN
    of_messages = optax.sigmoid_binary_cross_entropy(log_odds, label)
    of_words = optax.sigmoid_binary_cross_entropy(jnp.clip(score, -30, 30), batch.fault)
    return jnp.average(of_messages, weights=batch.weight) + jnp.average(of_words, weights=batch.marked)


def _judged(
    parameters: Parameters, vectors: chex.Array, batch: Batch, key: chex.PRNGKey
) -> tuple[chex.Array, chex.Array]:
    """Scores [tokens] and log-odds [messages]: `FaultScores.judge`, with words hidden and features dropped."""
    chex.assert_shape([batch.word, batch.message], (_TOKENS,))
    keys = jax.random.split(key, 2 + _LAYERS)
    live = (batch.message < _MESSAGES)[:, None]
    hide = jax.random.bernoulli(keys[0], _UNKNOWN, batch.word.shape) & (batch.word != 0)
    word = jnp.where(hide, 1, batch.word)
    own = parameters["own"]
    vector = vectors[word] + jnp.where((word < len(own))[:, None], own[jnp.minimum(word, len(own) - 1)], 0.0)
    hidden = live * jax.nn.relu(_dropped(vector, keys[1]) @ parameters["entry"] + parameters["entry_shift"])
    for layer in range(_LAYERS):
        padded = jnp.pad(hidden, ((REACH, REACH), (0, 0)))
        around = jnp.concatenate([padded[at : at + _TOKENS] for at in range(2 * REACH + 1)], axis=1)
        seen = jax.nn.relu(around @ parameters["kernels"][layer] + parameters["shifts"][layer])
        hidden = live * (hidden + _dropped(seen, keys[2 + layer]))
    score = hidden @ parameters["score"][:-1] + parameters["score"][-1]
    return score, _log_odds(parameters["message"], hidden, jnp.where(live[:, 0], score, -1e4), batch.message)


def _log_odds(message: chex.Array, hidden: chex.Array, score: chex.Array, of: chex.Array) -> chex.Array:
    count = jax.ops.segment_sum(jnp.ones_like(score), of, _MESSAGES + 1)
    highest = jnp.maximum(jax.lax.stop_gradient(jax.ops.segment_max(score, of, _MESSAGES + 1)), -1e3)
    total = jax.ops.segment_sum(jnp.exp(score - highest[of]), of, _MESSAGES + 1)
    soft = highest + jnp.log(total + 1e-9)
    mean = jax.ops.segment_sum(hidden, of, _MESSAGES + 1) / jnp.maximum(count, 1)[:, None]
    log_odds = mean @ message[:-2] + soft * message[-2] + message[-1]
    return jnp.where(count > 0, log_odds, 0.0)[:_MESSAGES]


def _dropped(features: chex.Array, key: chex.PRNGKey) -> chex.Array:
    return features * jax.random.bernoulli(key, 1 - _DROPPED, features.shape) / (1 - _DROPPED)


def _packed(words: Sequence[str], vectors: chex.Array, parameters: Parameters) -> dict[str, np.ndarray]:
    """What is shipped: of each word what the first layer makes of it, a byte a feature."""
    full = vectors.at[: len(parameters["own"])].add(parameters["own"])
    entered = np.asarray(jax.nn.relu(full @ parameters["entry"] + parameters["entry_shift"]))
    scale = np.maximum(entered.max(axis=0), 1e-6) / 127
    return {
        "words": np.frombuffer("\n".join(words).encode(), np.uint8),
        "table": np.round(entered / scale).astype(np.int8),
        "scale": scale.astype(np.float32),
        **{key: np.asarray(parameters[key], np.float32) for key in ("kernels", "shifts", "score", "message")},
    }

"""Words are scored among their neighbours, and one that nobody knew is read as its beginning."""

import math

import numpy as np

from retentionjax.shield.fault_scores import BEGIN, REACH, SPARED, UNKNOWN, FaultScores, known
from retentionjax.shield.reading import BLANK

WORDS = {word: row for row, word in enumerate((BEGIN, UNKNOWN, SPARED, "refund", "hurry", "#", "you"))}


def test_scores_are_those_of_the_equations_written_out_word_by_word() -> None:
    width, layers = 3, 2
    rng = np.random.default_rng(0)
    table = rng.integers(0, 127, (len(WORDS), width)).astype(np.int8)
    scale, kernels = rng.random(width) / 127, rng.normal(size=(layers, (2 * REACH + 1) * width, width))
    shifts, score, message = rng.normal(size=(layers, width)), rng.normal(size=width + 1), rng.normal(size=width + 2)
    network = FaultScores(WORDS, table, scale, kernels, shifts, score, message)

    log_odds, scores = network.judge(["hurry", "you", "7"])

    hidden = [table[WORDS[word]] * scale for word in (BEGIN, "hurry", "you", "#")]
    for kernel, shift in zip(kernels, shifts, strict=True):
        around = [hidden[at] if 0 <= at < 4 else np.zeros(width) for at in range(-REACH, 4 + REACH)]
        seen = [np.concatenate(around[at : at + 2 * REACH + 1]) @ kernel + shift for at in range(4)]
        hidden = [old + np.clip(new, 0, None) for old, new in zip(hidden, seen, strict=True)]
    each = [float(word @ score[:-1] + score[-1]) for word in hidden]
    soft = math.log(sum(map(math.exp, each)))
    np.testing.assert_allclose(scores, each[1:], rtol=1e-4)
    mean = np.mean(hidden, axis=0) @ message[:-2]
    np.testing.assert_allclose(log_odds, mean + soft * message[-2] + message[-1], rtol=1e-4)


def test_a_message_without_words_is_judged_too() -> None:
    ones = np.ones(1)
    network = FaultScores(
        {BEGIN: 0}, np.ones((1, 1), np.int8), ones, np.ones((0, 5, 1)), np.ones((0, 1)), np.ones(2), np.ones(3)
    )
    assert network.judge([]) == (4.0, [])


def test_a_word_nobody_knew_is_read_as_its_beginning() -> None:
    assert [known(token, WORDS) for token in ("refund", "refunded", "hurry's", "12.50", BLANK * 3, "zebra", "yo")] == [
        "refund", "refund", "hurry", "#", SPARED, UNKNOWN, UNKNOWN,
    ]  # fmt: skip

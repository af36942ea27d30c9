"""Word vectors keep how far words stand apart, and there is one of each word that the reader may meet."""

import numpy as np

from experiments.fault_scores import WIDTH
from experiments.word_vectors import packed, vocabulary
from retentionjax.shield.reading import BLANK


def test_words_stand_as_far_apart_as_before() -> None:
    rng = np.random.default_rng(0)
    vectors = 0.1 * rng.normal(size=(200, WIDTH)) @ rng.normal(size=(WIDTH, 384)) + 1.0
    file = packed(["word"] * len(vectors), vectors)
    kept = file["vectors"] * file["scale"]
    before, after = (np.linalg.norm(each[1:] - each[:-1], axis=1) for each in (vectors, kept))
    np.testing.assert_allclose(after / after.mean(), before / before.mean(), rtol=0.02)


def test_words_are_those_of_messages_and_whole_ones_of_the_model() -> None:
    plain = [f"{BLANK * 3}: that's 20% off.\nit's 7 more", "refund"]
    pieces = {"refund": 0, "##ing": 1, "[CLS]": 2, "bill": 3, "20": 4, "é": 5}
    assert vocabulary(plain, pieces) == ["#", "%", "bill", "it's", "more", "off", "refund", "that's"]

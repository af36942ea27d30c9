"""Figures that show collapse and copying, against counts made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.language import text_metrics as metrics


def test_words_and_ngrams() -> None:
    assert metrics.words("We'd take 10% off, Maria!") == ["we'd", "take", "10", "%", "off", "maria"]
    assert metrics.ngrams("a b c", 2) == [("a", "b"), ("b", "c")]
    assert metrics.ngrams("a", 2) == [("a",)]
    assert metrics.ngrams("!", 2) == []


def test_distinct_counts_over_all_texts_together() -> None:
    assert metrics.distinct(["a b a", "a b"], 1) == pytest.approx(2 / 5)
    assert metrics.distinct(["a b a", "a b"], 2) == pytest.approx(2 / 3)
    assert metrics.distinct(["one two three"] * 50, 2) == pytest.approx(2 / 100), "collapse"
    assert metrics.distinct([], 2) == 0.0


def test_overlap_is_with_the_nearest_single_text() -> None:
    training = ["a b c d", "c d e f"]
    found = metrics.nearest_overlap(["a b c d", "a b c x", "x y z w", "b c d e", ""], training, n=2)
    np.testing.assert_allclose(found, [1, 2 / 3, 0, 2 / 3, 0])


@given(st.lists(st.text(alphabet="ab ", max_size=12), min_size=1, max_size=6))
def test_a_text_overlaps_wholly_with_itself(texts: list[str]) -> None:
    overlap = metrics.nearest_overlap(texts, texts, n=2)
    expected = [1.0 if metrics.words(text) else 0.0 for text in texts]
    np.testing.assert_allclose(overlap, expected)
    assert 0 <= metrics.distinct(texts, 2) <= 1

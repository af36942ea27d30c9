"""Figures that show collapse, against counts made by hand."""

import pytest

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

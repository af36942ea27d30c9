"""Rates of groups, and the four-fifths rule, where every number is known."""

from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from retentionjax.evaluation.report import playing, run_folder
from retentionjax.evaluation.rollout import Episodes

OFFERS = (0.0, 0.05, 0.10, 0.20)


def episodes(contacted: Any, offer: int) -> Episodes:
    """Each of N customers contacted once, or not, with one offer, in both of two replicates."""
    contacts = np.repeat(np.asarray(contacted, float)[:, None], 2, axis=1)
    made = np.zeros((*contacts.shape, len(OFFERS)))
    made[..., offer] = contacts
    columns = dict.fromkeys(Episodes._fields, np.zeros_like(contacts))
    return Episodes(**{**columns, "contacts": contacts, "made": made})


def measured(contacted: Any, groups: Any, offer: int = 3) -> playing.Fairness:
    return playing.by_group(episodes(contacted, offer), groups, np.full(len(groups), 0.3), np.array(OFFERS) > 0, seed=0)


def test_rates_and_their_ratio_are_those_of_the_groups():
    contacted = [1] * 30 + [0] * 70 + [1] * 40 + [0] * 60
    found = measured(contacted, ["b"] * 100 + ["a"] * 100)
    assert found.groups["b"].contacted.mean == pytest.approx(0.3)
    assert found.groups["a"].offered.mean == pytest.approx(0.4)
    assert (found.contacted.lowest, found.contacted.highest) == ("b", "a")
    assert found.contacted.ratio.mean == pytest.approx(0.75)
    assert not found.contacted.is_alike
    assert found.groups["a"].customers == 100


def test_the_interval_of_the_ratio_is_that_of_two_independent_shares():
    """Delta method for the logarithm of a ratio of shares: s² = (1 − p)/(n p) + (1 − q)/(n q)."""
    random = np.random.default_rng(1)
    contacted = np.concatenate([random.random(4000) < 0.25, random.random(4000) < 0.5])
    found = measured(contacted, np.repeat(["low", "high"], 4000)).contacted.ratio
    shares = contacted[:4000].mean(), contacted[4000:].mean()
    error = np.sqrt(sum((1 - share) / (4000 * share) for share in shares))
    expected = found.mean * np.exp(np.array([-1.96, 1.96]) * error)
    np.testing.assert_allclose((found.low, found.high), expected, rtol=0.02)


def test_exactly_four_fifths_is_alike():
    found = measured([1] * 40 + [0] * 60 + [1] * 50 + [0] * 50, ["b"] * 100 + ["a"] * 100)
    assert found.contacted.ratio.mean == pytest.approx(0.8)
    assert found.contacted.is_alike


def test_a_contact_without_a_discount_is_no_offer():
    found = measured([1] * 10 + [0] * 10, ["a", "b"] * 10, offer=0)
    assert found.groups["a"].contacted.mean == pytest.approx(0.5)
    assert found.groups["a"].offered.mean == 0
    assert np.isnan(found.offered.ratio.mean)
    assert found.offered.is_alike


def test_one_group_cannot_be_compared():
    with pytest.raises(ValueError, match="only a"):
        measured([1, 0], ["a", "a"])


def test_a_group_of_which_nothing_is_known_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = pd.DataFrame({"plan": ["basic", None, "plus"]})
    monkeypatch.setattr(playing, "_facts", lambda *_: facts)
    groups = playing._groups(
        mock.MagicMock(run_folder.FinishedRun),
        pd.DataFrame({"customer_id": ["a", "b", "c"]}),
        {"plan": {"plus": "Plus"}},
    )
    assert groups["plan"].tolist() == ["basic", "not known", "Plus"]

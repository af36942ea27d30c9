"""Acceptance apart from offers, on contacts simulated from a known model."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from retentionjax.errors import DataError
from retentionjax.tabular import response
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import fit as fit_plain
from retentionjax.tabular.encoder import Encoder
from retentionjax.tabular.response import Appeal

APPEAL = np.array([0.0, 0.5, 1.0, 2.0])
ENCODER = Encoder(("age", "noise"), {"plan": ("basic", "plus")})
TREES = BoosterConfig(trees=60, depth=3, learning_rate=0.1)
SETTINGS = {"seed": 1, "folds": 3}
PRIOR = Appeal(np.array([0.0, 0.8, 0.8, 0.8]), np.array([0.0, 1.0, 1.0, 1.0]))


def contacts(
    rows: int, seed: int, offers: tuple[int, ...] = (0, 1, 2, 3)
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """(facts, offer-free acceptance, offer, accepted)"""
    random = np.random.default_rng(seed)
    age, plan = random.normal(0, 1, rows), random.integers(0, 2, rows)
    free = expit(-2.4 + 0.8 * age + 0.7 * plan)
    offer = random.choice(offers, rows)
    accepted = (random.random(rows) < expit(logit(free) + APPEAL[offer])).astype(int)
    frame = pd.DataFrame({"age": age, "noise": random.normal(0, 1, rows), "plan": np.where(plan, "plus", "basic")})
    return frame, free, offer, accepted


@pytest.fixture(scope="module")
def fitted() -> response.Response:
    frame, _, offer, accepted = contacts(12_000, 3)
    return response.fit(frame, accepted, offer, PRIOR, ENCODER, TREES, **SETTINGS)


def test_acceptance_without_an_offer_is_the_true_one_where_a_plain_fit_is_far_above(fitted: response.Response) -> None:
    frame, free, _, _ = contacts(8_000, 4)
    ours = fitted.classifier.predict(frame)
    train, _, _, accepted = contacts(12_000, 3)
    plain = fit_plain(train, accepted, ENCODER, TREES, **SETTINGS).predict(frame)
    assert abs(ours.mean() - free.mean()) < 0.012
    assert plain.mean() - free.mean() > 0.08
    assert np.corrcoef(logit(ours), logit(free))[0, 1] > 0.95


def test_the_appeals_are_found_within_their_errors(fitted: response.Response) -> None:
    error = (fitted.appeal.mean - APPEAL)[1:] / fitted.appeal.deviation[1:]
    assert (np.abs(error) < 3).all()
    assert (fitted.appeal.deviation[1:] < 0.12).all()
    assert (fitted.appeal.mean[0], fitted.appeal.deviation[0]) == (0.0, 0.0)


def test_predictions_with_offers_are_calibrated_for_each(fitted: response.Response) -> None:
    frame, _, offer, accepted = contacts(20_000, 5)
    probability = fitted.predict(frame, offer)
    for each in range(4):
        rows = offer == each
        error = np.sqrt(probability[rows].mean() / rows.sum())
        assert abs(probability[rows].mean() - accepted[rows].mean()) < 4 * error


def test_out_of_fold_acceptance_is_that_without_an_offer(fitted: response.Response) -> None:
    _, free, _, _ = contacts(12_000, 3)
    assert fitted.classifier.out_of_fold is not None
    assert abs(fitted.classifier.out_of_fold.probability.mean() - free.mean()) < 0.012


def test_without_offer_free_contacts_the_prior_sets_the_level() -> None:
    """One offer alone: what is the customer and what is the offer only the prior can tell."""
    frame, free, offer, accepted = contacts(6_000, 6, offers=(2,))
    sure = Appeal(APPEAL, np.array([0.0, 0.05, 0.05, 0.05]))
    found = response.fit(frame, accepted, offer, sure, ENCODER, TREES, **SETTINGS)
    assert found.appeal.mean[2] == pytest.approx(APPEAL[2], abs=0.05)
    assert abs(found.classifier.predict(frame).mean() - free.mean()) < 0.02


def test_a_model_saves_and_loads(fitted: response.Response, tmp_path) -> None:
    fitted.classifier.save(tmp_path / "classifier")
    again = type(fitted.classifier).load(tmp_path / "classifier")
    frame, *_ = contacts(100, 7)
    np.testing.assert_array_equal(again.predict(frame), fitted.classifier.predict(frame))


def test_the_assumed_model_says_the_same_of_everybody(tmp_path) -> None:
    model = response.assumed(0.11, ENCODER)
    frame, *_ = contacts(50, 8)
    np.testing.assert_allclose(model.predict(frame), 0.11, rtol=1e-6)
    assert np.abs(model.contributions(frame).by_feature.to_numpy()).max() == 0
    model.save(tmp_path / "classifier")
    assert type(model).load(tmp_path / "classifier").predict(frame)[0] == pytest.approx(0.11)


def test_an_appeal_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="shapes"):
        Appeal(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="not finite"):
        Appeal(np.array([0.0, np.nan]), np.zeros(2))

"""The classifier: what it predicts, why, without leaks, and saved as three files that nothing can execute."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import small_customers
import xgboost
from small_customers import Customers

from retentionjax.errors import BundleError, ConfigError, DataError, RetentionJaxError
from retentionjax.tabular import metrics
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import Classifier, fit
from retentionjax.tabular.encoder import Encoder

_EAGER = BoosterConfig(trees=60, depth=8, learning_rate=0.5, minimum_leaf_weight=0.0, l2=0.0)


def test_fresh_customers_are_ranked_and_calibrated(classifier: Classifier) -> None:
    fresh = small_customers.draw(4_000, seed=1)
    probability = classifier.predict(fresh.frame)
    assert metrics.auc(fresh.label, probability) > 0.7
    assert metrics.ece(fresh.label, probability) < 0.05


def test_prediction_is_the_boosters_score_through_the_calibrator(classifier: Classifier, customers: Customers) -> None:
    matrix = xgboost.DMatrix(
        classifier.encode(customers.frame), feature_types=["q", "q", "c", "c"], enable_categorical=True
    )
    raw = classifier.booster.predict(matrix)
    np.testing.assert_allclose(classifier.predict_raw(customers.frame), raw, atol=1e-7)
    curve = classifier.calibrator
    np.testing.assert_allclose(classifier.predict(customers.frame), np.interp(raw, curve.score, curve.probability))


def test_out_of_fold_probabilities_have_not_seen_their_own_label() -> None:
    """Labels are coin tosses: a booster that knew them would separate them, one that does not cannot."""
    random = np.random.default_rng(0)
    frame, label = pd.DataFrame({"noise": random.random(2_000)}), random.integers(0, 2, 2_000)
    model = fit(frame, label, Encoder(("noise",), {}), _EAGER, seed=0)
    assert model.out_of_fold is not None
    assert metrics.auc(label, model.predict_raw(frame).astype(np.float64)) > 0.65
    assert metrics.auc(label, model.out_of_fold.probability) < 0.54
    assert metrics.auc(label, model.out_of_fold.score.astype(np.float64)) < 0.54
    assert metrics.ece(label, model.out_of_fold.probability) < 0.06


def test_the_same_seed_gives_the_same_classifier(classifier: Classifier, customers: Customers) -> None:
    again, other = customers.fit(), customers.fit(seed=2)
    assert again.booster.save_raw("ubj") == classifier.booster.save_raw("ubj")
    np.testing.assert_array_equal(again.calibrator.score, classifier.calibrator.score)
    np.testing.assert_array_equal(again.out_of_fold, classifier.out_of_fold)
    assert other.booster.save_raw("ubj") != classifier.booster.save_raw("ubj")


def test_contributions_and_base_add_up_to_the_log_odds(classifier: Classifier, customers: Customers) -> None:
    frame = customers.frame.iloc[100:140]
    why = classifier.contributions(frame)
    score = classifier.predict_raw(frame).astype(np.float64)
    np.testing.assert_allclose(why.by_feature.sum(axis=1) + why.base, np.log(score / (1 - score)), atol=1e-5)
    assert list(why.by_feature.index) == list(frame.index)


def test_of_no_customers_there_are_no_contributions(classifier: Classifier, customers: Customers) -> None:
    nobody = classifier.contributions(customers.frame[:0])
    assert nobody.by_feature.shape == (0, len(classifier.encoder.features))
    assert classifier.predict(customers.frame[:0]).shape == (0,)


def test_top_reasons_come_strongest_first_with_their_sign(classifier: Classifier, customers: Customers) -> None:
    why = classifier.contributions(customers.frame.head(3))
    names, values, _, _ = zip(*why.top(1, most=4), strict=True)
    assert set(names) == {"tenure", "charge", "plan", "town"}
    assert list(np.abs(values)) == sorted(np.abs(values), reverse=True)
    assert values[0] == pytest.approx(why.by_feature.iloc[1][names[0]])
    assert why.top(1, most=1) == why.top(1, most=4)[:1]


def test_a_contribution_in_probability_is_the_calibrated_score_with_it_and_without(
    classifier: Classifier, customers: Customers
) -> None:
    frame = customers.frame.head(30)
    why, raw, probability = (
        classifier.contributions(frame),
        classifier.predict_raw(frame).astype(float),
        classifier.predict(frame),
    )
    moved = set()
    for row in range(len(frame)):
        for name, log_odds, without, said in why.top(row, most=4):
            odds = raw[row] / (1 - raw[row]) / np.exp(why.by_feature.iloc[row][name])
            assert without == pytest.approx(classifier.calibrator.apply(np.array([odds / (1 + odds)]))[0], abs=1e-5)
            assert said == pytest.approx(probability[row], abs=1e-5)
            assert (said - without) * log_odds >= -1e-9
            moved.add(np.sign(said - without))
    assert moved >= {-1, 1}


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([0, 1, 2] * 500, "row number 2 is 2; allowed: 0 and 1"),
        ([0.0, 1.0, np.nan] * 500, "row number 2 is nan"),
        ([0] * 1500, "labels of both classes are needed"),
        ([0, 1], "1500 rows need 1500 labels"),
        ([1, 1, 1] + [0] * 1497, "one class has 3"),
    ],
)
def test_labels_that_nothing_can_learn_from_are_refused(customers: Customers, label: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Customers(customers.frame, np.array(label)).fit(np.arange(1500) if len(label) > 2 else slice(None))


def test_a_single_fold_cannot_calibrate(customers: Customers) -> None:
    with pytest.raises(ConfigError, match="folds is 1"):
        fit(customers.frame, customers.label, Encoder(("tenure",), {}), _EAGER, seed=0, folds=1)


# --- files ----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(classifier: Classifier, tmp_path: Path) -> Path:
    classifier.save(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_classifier_predicts_the_same_to_the_last_bit(
    classifier: Classifier, folder: Path, customers: Customers
) -> None:
    loaded = Classifier.load(folder)
    np.testing.assert_array_equal(loaded.predict(customers.frame), classifier.predict(customers.frame))
    assert loaded.encoder == classifier.encoder
    assert loaded.out_of_fold is None


def test_what_is_saved_is_three_readable_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["calibrator.json", "encoder.json", "model.ubj"]
    assert (folder / "model.ubj").read_bytes().startswith(b"{L")  # universal binary JSON
    assert json.loads((folder / "encoder.json").read_text())["numeric"] == ["tenure", "charge"]


def test_an_existing_folder_is_not_overwritten(classifier: Classifier, folder: Path) -> None:
    with pytest.raises(RetentionJaxError, match="exists already"):
        classifier.save(folder)


@pytest.mark.parametrize("name", ["model.ubj", "encoder.json", "calibrator.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        Classifier.load(folder)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_model_is_refused_before_it_can_abort_the_process(folder: Path, share: float) -> None:
    model = (folder / "model.ubj").read_bytes()
    (folder / "model.ubj").write_bytes(model[: int(len(model) * share)])
    with pytest.raises(BundleError, match=r"model\.ubj: not the model that calibrator\.json was made for"):
        Classifier.load(folder)


def test_the_calibrator_of_another_model_is_refused(folder: Path, customers: Customers, tmp_path: Path) -> None:
    customers.fit(seed=2).save(tmp_path / "other")
    (tmp_path / "other/calibrator.json").replace(folder / "calibrator.json")
    with pytest.raises(BundleError, match=r"not the model that calibrator\.json was made for"):
        Classifier.load(folder)


@pytest.mark.parametrize("name", ["encoder.json", "calibrator.json"])
def test_an_unknown_format_version_is_refused(folder: Path, name: str) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(BundleError, match="format 99 is unknown"):
        Classifier.load(folder)


def test_a_model_of_other_features_is_refused(folder: Path) -> None:
    content = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps({**content, "numeric": ["tenure"], "nullable": []}))
    with pytest.raises(BundleError, match=r"do not fit those of encoder\.json"):
        Classifier.load(folder)

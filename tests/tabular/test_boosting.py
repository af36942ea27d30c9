"""Settings, folds and scores of rows that the scoring booster has not seen."""

from typing import Any

import numpy as np
import pytest
import xgboost

from retentionjax.errors import ConfigError, DataError
from retentionjax.tabular.boosting import BoosterConfig, assign_folds, cross_score, train

SMALL = BoosterConfig(trees=10, depth=3, learning_rate=0.3, minimum_leaf_weight=1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("trees", 0), ("depth", 11), ("learning_rate", 0.0), ("rows_a_tree", 1.1), ("l2", -1.0), ("l2", float("nan"))],
)
def test_a_setting_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}: .*allowed: "):
        BoosterConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("trees", 10.5, "not a whole number; allowed: 1 to 10000"),
        ("trees", "10", "not a whole number; allowed: 1 to 10000"),
        ("depth", None, "not a whole number; allowed: 1 to 10"),
        ("depth", True, "not a whole number; allowed: 1 to 10"),
        ("learning_rate", "0.1", "not a number; allowed: 0.0001 to 1"),
        ("l2", None, "not a number; allowed: 0 to 1e\\+06"),
    ],
)
def test_a_setting_of_another_type_is_named(name: str, value: Any, allowed: str) -> None:
    """As whoever runs it without the tests' type checker meets it: XGBoost takes its own default for None."""
    wrong = BoosterConfig()
    object.__setattr__(wrong, name, value)
    with pytest.raises(ConfigError, match=f"^{name}: {value!r} is {allowed}$"):
        wrong.__post_init__()


def test_settings_may_be_numpys_numbers() -> None:
    """As a grid search over arrays gives them."""
    found = BoosterConfig()
    for name, value in {"trees": np.int64(3), "l2": np.float32(2)}.items():
        object.__setattr__(found, name, value)
    found.__post_init__()


def test_the_same_seed_gives_the_same_bytes_whatever_ran_before() -> None:
    random = np.random.default_rng(0)
    x, label = random.random((400, 3)).astype(np.float32), random.integers(0, 2, 400)
    models = [bytes(train(x, label, ["q"] * 3, SMALL, seed).save_raw("ubj")) for seed in (1, 2, 1)]
    assert models[0] == models[2]
    assert models[0] != models[1]


def test_folds_are_alike_in_size_and_share_of_positives() -> None:
    random = np.random.default_rng(0)
    x, label = random.random((1_003, 2)).astype(np.float32), (random.random(1_003) < 0.2).astype(np.int64)
    fold = assign_folds(x, label, 5, seed=3)
    sizes = np.bincount(fold)
    positives = np.bincount(fold, weights=label)
    assert sizes.max() - sizes.min() <= 1
    assert positives.max() - positives.min() <= 1
    assert (fold != assign_folds(x, label, 5, seed=4)).any()


def test_rows_with_equal_features_share_a_fold_gaps_included() -> None:
    random = np.random.default_rng(0)
    distinct = random.random((100, 2)).astype(np.float32)
    distinct[::3, 1] = np.nan
    x = np.tile(distinct, (3, 1))
    fold = assign_folds(x, random.integers(0, 2, 300), 5, seed=0).reshape(3, 100)
    assert (fold == fold[0]).all()


def test_more_folds_than_rows_of_a_class_are_refused() -> None:
    with pytest.raises(DataError, match="5 folds need 5 rows of each class or more; one class has 4"):
        assign_folds(np.zeros((20, 1), np.float32), np.array([1] * 4 + [0] * 16), 5, seed=0)


def test_each_row_is_scored_by_a_booster_of_the_other_folds() -> None:
    random = np.random.default_rng(1)
    x, label = random.random((300, 3)).astype(np.float32), random.integers(0, 2, 300)
    fold = assign_folds(x, label, 3, seed=0)
    scores = cross_score(x, label, ["q"] * 3, fold, SMALL, seed=7)
    others = fold != 1
    expected = train(x[others], label[others], ["q"] * 3, SMALL, 7).predict(
        xgboost.DMatrix(x[~others], feature_types=["q"] * 3)
    )
    np.testing.assert_array_equal(scores[~others], expected)


def test_rows_of_a_customer_stay_in_one_fold_and_features_that_tell_nobody_apart_make_no_customers() -> None:
    random = np.random.default_rng(0)
    x, label = random.random((600, 3)).astype(np.float32), random.integers(0, 2, 600)
    who = random.integers(0, 120, 600)
    fold = assign_folds(x, label, 5, 0, who)
    assert all(len(set(fold[who == each])) == 1 for each in np.unique(who))
    assert np.bincount(fold).min() > 90
    few = random.integers(0, 2, (600, 1)).astype(np.float32)
    assert np.bincount(assign_folds(few, label, 5, 0)).tolist() == [120] * 5

"""The JAX forest gives XGBoost's own predictions: gaps, categories, thresholds, every way of calling it."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xgboost
from jax import export
from small_customers import Customers

from retentionjax.data import sources
from retentionjax.errors import ConfigError
from retentionjax.tabular import forest
from retentionjax.tabular.boosting import BoosterConfig, train
from retentionjax.tabular.classifier import Classifier
from retentionjax.tabular.encoder import Encoder
from retentionjax.tabular.ensemble import DEEPEST

TYPES = ("q", "q", "c", "c", "c")
CATEGORIES = (3, 40, 200)  # split one against the rest, in two words of bits, in seven


def _rows(count: int, seed: int = 0) -> np.ndarray:
    """Two quantities on a grid, so that many rows lie exactly on thresholds, and three categories; gaps in all."""
    random = np.random.default_rng(seed)
    quantities = [random.integers(0, 12, count) / 4, random.normal(size=count).round(1)]
    codes = [random.integers(0, size, count) for size in CATEGORIES]
    x = np.column_stack([*quantities, *codes]).astype(np.float32)
    x[random.random(x.shape) < 0.15] = np.nan
    return x


def _label(x: np.ndarray) -> np.ndarray:
    filled = np.nan_to_num(x, nan=1.0)
    score = filled[:, 0] - filled[:, 1] + (filled[:, 3] % 3) - (filled[:, 4] % 5 == 2) * 2 - np.isnan(x[:, 0])
    return (score > np.median(score)).astype(np.int64) ^ (np.random.default_rng(9).random(len(x)) < 0.1)


@cache
def _train(rounds: int = 12, types: tuple[str, ...] = TYPES, **parameters: Any) -> xgboost.Booster:
    """Trained once for all tests that ask for the same; none changes it."""
    x = _rows(3_000)[:, : len(types)]
    settings = {"objective": "binary:logistic", "learning_rate": 0.4, "nthread": 1, **parameters}
    if settings.get("booster") != "gblinear":
        settings.setdefault("max_depth", 5)
    label = _label(_rows(3_000))
    if settings["objective"] == "multi:softprob":
        label = label + (x[:, 0] > 2)
    return xgboost.train(
        settings, xgboost.DMatrix(x, label, feature_types=list(types), enable_categorical=True), rounds
    )


PREDICT, MARGIN = jax.jit(forest.predict), jax.jit(forest.margin)


@cache
def _forest(booster: xgboost.Booster) -> forest.Forest:
    """Laid out once for all tests of it."""
    return forest.compile(booster)


def _oracle(booster: xgboost.Booster, x: np.ndarray) -> np.ndarray:
    return booster.predict(
        xgboost.DMatrix(x, feature_types=list(TYPES[: x.shape[1]]), enable_categorical=True, nthread=1)
    )


def _predict(booster: xgboost.Booster, x: np.ndarray) -> np.ndarray:
    return np.asarray(PREDICT(_forest(booster), x))


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    return _train()


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"max_cat_to_onehot": 64},
        {"max_depth": 1},
        {"max_depth": 12},
        {"grow_policy": "lossguide", "max_leaves": 20, "max_depth": 0},
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"gamma": 1e9},  # every tree is a single leaf
        {"tree_method": "exact", "types": ("q", "q")},
        {"objective": "reg:squarederror", "base_score": -3.0},
    ],
    ids=str,
)
def test_every_kind_of_tree_predicts_as_in_xgboost(parameters: dict[str, Any]) -> None:
    model = _train(**parameters)
    x = _rows(2_000, seed=1)[:, : model.num_features()]
    np.testing.assert_allclose(_predict(model, x), _oracle(model, x), atol=2e-6)


def test_categories_and_numbers_never_seen_go_where_xgboost_sends_them(booster: xgboost.Booster) -> None:
    x = _rows(600, seed=2)
    x[:200, 2:] = np.random.default_rng(0).choice([-1.0, 3.0, 63.0, 199.0, 255.0, 1e5, 1e6], (200, 3))
    x[200:400, :2] = np.random.default_rng(1).choice([-1e30, 1e30, -0.0, 1e-40], (200, 2))
    np.testing.assert_allclose(_predict(booster, x), _oracle(booster, x), atol=2e-6)


def _same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


def _margins(booster: xgboost.Booster, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The forest's and XGBoost's sums of trees."""
    matrix = xgboost.DMatrix(x, feature_types=list(TYPES[: x.shape[1]]), enable_categorical=True, nthread=1)
    return np.asarray(MARGIN(_forest(booster), x)), booster.predict(matrix, output_margin=True)


@pytest.mark.parametrize("depth", [1, forest.DENSE, forest.DENSE + 1, DEEPEST])
def test_sums_of_trees_are_xgboosts_to_the_last_bit(depth: int) -> None:
    """Rows are one, few, and more than a block; trees are folded, or walked; of few rows 128 are summed at once."""
    model = _train(rounds=140, max_depth=depth, learning_rate=0.1)
    for rows in (1, 8, 300):
        _same_bits(*_margins(model, _rows(rows, seed=7)))


@pytest.mark.parametrize("base", [1e6, -3e7, 0.1])
def test_trees_are_added_to_the_base_as_xgboost_adds_them(base: float) -> None:
    """Far from 0 a float32 has few digits left for a tree: which sum comes first is what counts."""
    model = _train(rounds=60, objective="reg:squarederror", base_score=base)
    for rows in (1, 100):
        _same_bits(*_margins(model, _rows(rows, seed=8)))


@pytest.mark.parametrize("base", [1e-30, 1e-7, 1e-6, 0.999, 0.9999999])
def test_the_base_of_a_probability_is_xgboosts(base: float) -> None:
    _same_bits(*_margins(_train(base_score=base), _rows(100, seed=8)))


@pytest.mark.parametrize("rows", [2, 200])
def test_denormal_numbers_count(rows: int) -> None:
    """Thresholds at 0 and at denormal numbers, asked with denormal numbers of both signs and with −0."""
    tiny = np.float32(1.4e-45)
    values = np.array([-1.0, -1e-40, -tiny, -0.0, 0.0, tiny, 1e-40, 1.0], np.float32)
    x = np.tile(values, 100)[:, None]
    label = (np.abs(x[:, 0]) < 0.5) ^ (x[:, 0] > 0) ^ (x[:, 0] == tiny)
    settings = {"max_depth": 4, "tree_method": "exact", "min_child_weight": 0, "objective": "binary:logistic"}
    model = xgboost.train(settings, xgboost.DMatrix(x, label), 5)
    asked = np.resize(values, (rows, 1)) if rows > 2 else np.array([[-1e-40], [tiny]], np.float32)
    found, expected = _margins(model, asked)
    assert len(np.unique(_margins(model, values[:, None])[1])) > 2
    _same_bits(found, expected)


def test_a_value_equal_to_a_threshold_goes_right_and_the_float_below_left() -> None:
    x = np.repeat(np.array([[0.1], [0.3]], np.float32), 50, axis=0)
    model = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 1}, xgboost.DMatrix(x, np.repeat([0, 1], 50)), 1
    )
    threshold = np.asarray(forest.compile(model).threshold)[0, 0].view(np.float32)
    edge = np.array([[np.nextafter(threshold, np.float32(-1))], [threshold]], np.float32)
    low, high = _predict(model, edge)
    assert low < 0.5 < high


@pytest.mark.parametrize("rows", [1, 8, 9, 64, 65])
def test_any_number_of_rows_gives_the_same_as_all_at_once(booster: xgboost.Booster, rows: int) -> None:
    x = _rows(65, seed=3)
    np.testing.assert_allclose(_predict(booster, x[:rows]), _oracle(booster, x)[:rows], atol=2e-6)


def test_the_empty_table_has_no_predictions(booster: xgboost.Booster) -> None:
    assert _predict(booster, _rows(5)[:0]).shape == (0,)


def test_it_works_inside_vmap_and_scan(booster: xgboost.Booster) -> None:
    compiled, x = _forest(booster), _rows(60, seed=4)
    expected = _oracle(booster, x)
    by_row = jax.jit(jax.vmap(lambda row: forest.predict(compiled, row[None])[0]))(x)
    np.testing.assert_allclose(by_row, expected, atol=2e-6)
    by_batch = jax.jit(jax.vmap(partial(forest.predict, compiled)))(x.reshape(6, 10, -1))
    np.testing.assert_allclose(np.ravel(by_batch), expected, atol=2e-6)
    _, by_scan = jax.lax.scan(lambda day, rows: (day + 1, forest.predict(compiled, rows)), 0, x.reshape(5, 12, -1))
    np.testing.assert_allclose(np.ravel(by_scan), expected, atol=2e-6)


def test_one_export_serves_every_batch_size(booster: xgboost.Booster) -> None:
    compiled, x = _forest(booster), _rows(150, seed=5)
    shape = jax.ShapeDtypeStruct(export.symbolic_shape("batch, 5"), jnp.float32)
    served = export.export(jax.jit(partial(forest.predict, compiled)))(shape)
    for rows in (1, 7, 64, 150):
        np.testing.assert_allclose(served.call(x[:rows]), _oracle(booster, x)[:rows], atol=2e-6)


def test_a_forest_is_a_pytree_of_arrays_that_survives_a_round_trip(booster: xgboost.Booster) -> None:
    compiled, x = _forest(booster), _rows(20)
    leaves, structure = jax.tree.flatten(compiled)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    again = jax.tree.unflatten(structure, [np.asarray(leaf) for leaf in leaves])
    np.testing.assert_array_equal(PREDICT(again, x), PREDICT(compiled, x))


def test_a_classifier_brings_its_calibrator(classifier: Classifier, customers: Customers) -> None:
    compiled = forest.compile(classifier)
    found = PREDICT(compiled, classifier.encode(customers.frame))
    np.testing.assert_allclose(found, classifier.predict(customers.frame), atol=1e-5)


def test_interpolation_is_numpys_beyond_the_ends_and_on_the_knots() -> None:
    knots = np.array([[0.1, 0.4, 0.8], [0.2, 0.3, 0.9]], np.float32)
    points = np.concatenate([np.linspace(0, 1, 101), knots[0]]).astype(np.float32)
    calibrate = jax.jit(forest._calibrate)
    found = calibrate(knots, points)
    np.testing.assert_allclose(found, np.interp(points, *knots), atol=1e-6)
    single = calibrate(np.array([[0.5], [0.3]], np.float32), points)
    np.testing.assert_allclose(single, 0.3, atol=1e-7)


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: _train(booster="dart", rate_drop=0.5), "booster 'dart'; allowed: gbtree"),
        (lambda: _train(types=("q", "q"), booster="gblinear"), "booster 'gblinear'; allowed: gbtree"),
        (
            lambda: _train(objective="multi:softprob", num_class=3),
            "objective 'multi:softprob'; allowed: binary:logistic",
        ),
        (lambda: _train(objective="count:poisson"), "objective 'count:poisson'"),
        (lambda: _train(rounds=0), "no trees yet"),
        (lambda: _train(max_depth=0, grow_policy="lossguide", max_leaves=400, rounds=3), f"allowed: {DEEPEST} or less"),
    ],
    ids=["dart", "linear", "classes", "poisson", "untrained", "deep"],
)
def test_what_no_forest_can_follow_is_named(make: Callable[[], xgboost.Booster], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        forest.compile(make())


def test_several_targets_are_refused() -> None:
    x = _rows(200)[:, :2]
    model = xgboost.train({"objective": "reg:squarederror"}, xgboost.DMatrix(x, np.nan_to_num(x)), 2)
    with pytest.raises(ConfigError, match="several"):
        forest.compile(model)


def test_early_stopping_is_followed_by_slicing() -> None:
    x = _rows(2_000)
    parts = [
        xgboost.DMatrix(x[rows], _label(x)[rows], feature_types=list(TYPES), enable_categorical=True)
        for rows in (slice(0, 1_000), slice(1_000, None))
    ]
    settings = {"objective": "binary:logistic", "learning_rate": 1.0, "nthread": 1}
    model = xgboost.train(
        settings, parts[0], 60, evals=[(parts[1], "fresh")], early_stopping_rounds=3, verbose_eval=False
    )
    assert model.best_iteration + 1 < model.num_boosted_rounds()
    np.testing.assert_allclose(_predict(model, x), _oracle(model, x), atol=2e-6)
    best = model[: model.best_iteration + 1]
    expected = model.predict(parts[1], iteration_range=(0, model.best_iteration + 1))
    np.testing.assert_allclose(_predict(best, x[1_000:]), expected, atol=2e-6)


def test_rows_of_another_width_are_refused(booster: xgboost.Booster) -> None:
    with pytest.raises(ValueError, match="the forest takes"):
        forest.predict(_forest(booster), jnp.zeros((3, 4)))


# --- the real files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["telco", "bank", "hillstrom"])
def test_rows_of_the_real_files_are_predicted_as_in_xgboost(real_data: object, name: str, every: int) -> None:
    """Each eighth by fewer trees, and all at night; Hillstrom's model is P(visit | customer, arm): the arm is one more
    category."""
    table = sources.load(name, mode="real")
    schema = table.schema
    categorical = {**schema.categorical, **({schema.treatment: schema.arms} if schema.treatment else {})}
    encoder = Encoder(schema.numeric, categorical, schema.nullable)
    x, label = encoder.encode(table.frame), table.frame[schema.label].to_numpy(np.int64)
    x, label = x[::every], label[::every]
    config = BoosterConfig(trees=100 if every == 1 else 30, depth=6, learning_rate=0.1, minimum_leaf_weight=1.0)
    model = train(x, label, encoder.types, config, seed=42)
    gaps = x.copy()
    gaps[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan  # more than the files have
    assert _forest(model).members_source.shape[0] > 0
    for rows in (x, gaps):
        expected = model.predict(xgboost.DMatrix(rows, feature_types=encoder.types, enable_categorical=True))
        assert np.abs(_predict(model, rows) - expected).max() <= 1e-5

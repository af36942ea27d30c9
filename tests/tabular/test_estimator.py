"""`ChurnClassifier` among scikit-learn's own: its checks, its tools, and what it adds to them."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from small_customers import Customers

import retentionjax as rj
from retentionjax.errors import ConfigError, DataError
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import Classifier
from retentionjax.tabular.estimator import ChurnClassifier


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")  # of its own checks
@parametrize_with_checks([ChurnClassifier(n_estimators=10, learning_rate=0.3, min_child_weight=1.0, cv=2)])
def test_what_scikit_learn_expects_of_a_classifier(estimator: Any, check: Any) -> None:
    check(estimator)


def test_it_is_the_classifier_of_the_pipeline(customers: Customers, classifier: Classifier) -> None:
    """The settings and the rows are the same; only the draws are others."""
    assert rj.ChurnClassifier is ChurnClassifier
    table = customers.frame.drop(columns="unused")
    model = ChurnClassifier(n_estimators=20, learning_rate=0.3, min_child_weight=1.0, random_state=0)
    model.fit(table, np.where(customers.label, "left", "stayed"))
    assert list(model.classes_) == ["left", "stayed"]
    probability = model.predict_proba(table)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert np.corrcoef(probability[:, 1], classifier.predict(table))[0, 1] < -0.9
    assert set(model.predict(table)[probability[:, 0] > 0.5]) == {"left"}
    assert list(model.contributions(table.head(2)).by_feature) == ["tenure", "charge", "plan", "town"]


def test_a_table_of_arrow_is_what_pandas_makes_of_it(customers: Customers) -> None:
    table = customers.frame.drop(columns="unused")
    model = ChurnClassifier(n_estimators=3, cv=2, random_state=0).fit(pa.table(dict(table)), customers.label)
    np.testing.assert_array_equal(model.predict_proba(pa.table(dict(table))), model.predict_proba(table))


def test_every_parameter_reaches_the_trees(customers: Customers, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    fit = "retentionjax.tabular.estimator.fit"
    monkeypatch.setattr(fit, lambda frame, label, *given, **more: seen.append((*given, more)))
    ChurnClassifier(3, 2, 0.5, 0.7, 0.6, 4.0, 5.0, 7, 0).fit(customers.frame, customers.label)
    encoder, config, more = seen[0]
    assert config == BoosterConfig(3, 2, 0.5, 0.7, 0.6, 4.0, 5.0)
    assert more["folds"] == 7
    assert encoder.nullable == tuple(customers.frame)


def test_categories_that_are_new_or_missing_are_decided_about(customers: Customers) -> None:
    model = ChurnClassifier(n_estimators=5, cv=2, random_state=0)
    model.fit(customers.frame.astype({"plan": "category", "town": "string"}), customers.label)
    new = customers.frame.head(3).assign(plan=["never seen", None, "basic"])
    assert np.isfinite(model.predict_proba(new)).all()


def test_categories_may_be_numbers_and_columns_be_called_by_them(customers: Customers) -> None:
    model = ChurnClassifier(n_estimators=5, cv=2, random_state=0)
    expected = model.fit(customers.frame, customers.label).predict_proba(customers.frame)
    texts = customers.frame[["plan", "town"]].astype("category")
    numbers = {name: texts[name].cat.rename_categories(range(100, 100 + texts[name].nunique())) for name in texts}
    codes = customers.frame.assign(**numbers)
    places = range(codes.shape[1])
    for names in (list(codes), places, pd.MultiIndex.from_product([["a"], places])):
        table = codes.set_axis(names, axis=1)
        np.testing.assert_array_equal(model.fit(table, customers.label).predict_proba(table), expected)


def test_true_and_false_are_numbers_and_a_date_is_refused_by_its_column(customers: Customers) -> None:
    model = ChurnClassifier(n_estimators=5, cv=2, random_state=0)
    vip = customers.frame["charge"] > 60
    expected = model.fit(customers.frame.assign(vip=vip.astype(float)), customers.label).predict_proba(
        customers.frame.assign(vip=vip.astype(float))
    )
    for kind in ("bool", "boolean", object):
        table = customers.frame.assign(vip=vip.astype(kind))
        np.testing.assert_array_equal(model.fit(table, customers.label).predict_proba(table), expected)
    for days in (
        pd.Timestamp("2026-01-01"),
        pd.Timestamp("2026-01-01", tz="UTC"),
        dt.date(2026, 1, 1),
        pd.Timedelta(1),
    ):
        with pytest.raises(DataError, match=r"column 'since' holds .*; allowed: numbers, true and false, or text"):
            model.fit(customers.frame.assign(since=days), customers.label)
    gaps = customers.frame.assign(vip=vip.astype("boolean").where(customers.label == 0), nothing=None)
    assert np.isfinite(model.fit(gaps, customers.label).predict_proba(gaps)).all()


def test_scikit_learns_tools_take_it(customers: Customers) -> None:
    model = ChurnClassifier(n_estimators=5, cv=2, random_state=0)
    auc = cross_val_score(model, customers.frame, customers.label, scoring="roc_auc", cv=3)
    assert auc.mean() > 0.65
    search = GridSearchCV(model, {"max_depth": [1, 3]}, scoring="neg_brier_score", cv=2)
    assert search.fit(customers.frame, customers.label).best_params_["max_depth"] in (1, 3)


def test_what_it_cannot_learn_from_is_said(customers: Customers) -> None:
    with pytest.raises(ConfigError, match=r"^max_depth: 0 is out of range; allowed: 1 to 10$"):
        ChurnClassifier(max_depth=0).fit(customers.frame, customers.label)
    for folds in (1, None, 2.5, "5", True):
        with pytest.raises(ConfigError, match=f"^cv is {folds!r}; allowed: a whole number, 2 or more$"):
            ChurnClassifier(cv=folds).fit(customers.frame, customers.label)
    with pytest.raises(DataError, match="column 'plan': 3 is not text"):
        mixed = customers.frame.assign(plan=[3, *customers.frame["plan"][1:]])
        ChurnClassifier(cv=2).fit(mixed, customers.label)
    with pytest.raises(ValueError, match="two rows of each class"):
        ChurnClassifier().fit(customers.frame, [1] + [0] * (len(customers.label) - 1))

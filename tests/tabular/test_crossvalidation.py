"""Cross-validation with nothing leaking in, and the figures the real files must give."""

import numpy as np
import pandas as pd
import pytest
from small_customers import Customers

from retentionjax.data import sources
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import CrossValidation, cross_validate, fit
from retentionjax.tabular.encoder import Encoder

_EAGER = BoosterConfig(trees=40, depth=8, learning_rate=0.5, minimum_leaf_weight=0.0, l2=0.0)


def test_nothing_leaks_labels_that_are_coin_tosses_cannot_be_predicted() -> None:
    """A leaking calibrator or booster would look better than chance; each customer is even listed twice."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"noise": np.tile(random.random(750), 2)})
    label = np.tile(random.integers(0, 2, 750), 2)
    found = cross_validate(frame, label, Encoder(("noise",), {}), _EAGER, seed=0, folds=3)
    auc = found.measures["auc"]
    assert abs(auc.value - 0.5) < auc.high - auc.low  # four standard errors
    assert found.measures["brier_skill"].value < 0.01


def test_each_fold_is_predicted_by_a_classifier_fitted_on_the_others(customers: Customers) -> None:
    encoder = Encoder(("tenure", "charge"), {}, nullable=("charge",))
    config = BoosterConfig(trees=5)
    folds: list[float] = []
    found = cross_validate(
        customers.frame,
        customers.label,
        encoder,
        config,
        seed=4,
        folds=3,
        after_fold=lambda measures: folds.append(measures["auc"].value),
    )
    others = found.fold != 2
    model = fit(customers.frame[others], customers.label[others], encoder, config, seed=5, folds=3)
    np.testing.assert_allclose(found.probability[~others], model.predict(customers.frame[~others]))
    assert found.measures["auc"].value == pytest.approx(np.mean(folds))
    assert {"cv_auc", "cv_auc_low", "cv_auc_high", "cv_ece", "cv_brier", "cv_log_loss", "cv_brier_skill"} <= set(
        found.summary()
    )


def _real(name: str) -> CrossValidation:
    table = sources.load(name, mode="real")
    schema = table.schema
    return cross_validate(
        table.frame,
        table.frame[schema.label],
        Encoder(schema.numeric, schema.categorical, schema.nullable),
        BoosterConfig(),
        seed=42,
    )


@pytest.mark.slow
def test_churn_of_real_customers_is_predicted_as_well_as_promised(real_data: object) -> None:
    found = _real("telco").measures
    assert found["auc"].value >= 0.84
    assert found["ece"].value <= 0.03


@pytest.mark.slow
def test_response_of_real_clients_is_predicted_as_well_as_promised(real_data: object) -> None:
    found = _real("bank").measures
    assert found["auc"].value >= 0.79
    assert found["ece"].value <= 0.015
    assert found["brier_skill"].value >= 0.20

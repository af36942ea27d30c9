"""The stages churn and acceptance: artifacts that later stages read, gates that stop a run, nobody predicted by a
model that has seen them."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from etils import epath

from experiments import acceptance, churn, classification, companies
from experiments.acceptance import AcceptanceConfig
from experiments.classification import ClassifierSettings, Gates
from experiments.config import load_preset
from experiments.stage import Context
from retentionjax import storage
from retentionjax.data import catalog, synthetic
from retentionjax.errors import ConfigError, DataError
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import Classifier
from retentionjax.tabular.metrics import Measure

ANY = Gates(minimum_auc=0.0, maximum_ece=1.0, minimum_brier_skill=-1.0)
SMALL = BoosterConfig(trees=10, depth=3, learning_rate=0.3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> epath.Path:
    folder = epath.Path(tmp_path_factory.mktemp("data"))
    for name, source, rows in (("customers", "telco", 1_500), ("contacts", "bank", 3_000)):
        catalog.prepare(dataclasses.replace(synthetic.generate(source, rows=rows), name=name), folder / "artifacts")
    storage.write_json(folder / "artifacts" / companies.FILE, companies.load("demo").to_dict())
    return folder


def _context(folder: Path, prepared: epath.Path, source: str = "synthetic") -> Context:
    context = Context(epath.Path(folder), {"data": prepared}, resume=False, data="auto", data_source=source)  # type: ignore[arg-type]
    context.artifacts.mkdir(parents=True)
    return context


def test_churn_leaves_what_later_stages_read(tmp_path: Path, prepared: epath.Path) -> None:
    context = _context(tmp_path, prepared)
    summary = churn.run(ClassifierSettings(SMALL, ANY, folds=2), context)
    assert {"cv_auc", "cv_auc_low", "cv_auc_high", "cv_ece", "cv_brier", "cv_log_loss", "held_out_auc"} <= set(summary)
    assert summary["cv_auc"] > 0.7
    names = {path.name for path in context.artifacts.iterdir()}
    assert names == {"classifier", "predictions.parquet", "reliability.png", "importance.png"}
    predictions = pd.read_parquet(context.artifacts / "predictions.parquet")
    assert list(predictions.columns) == ["row", "split", "label", "id", "charge", "score", "probability"]
    assert predictions["id"].is_unique
    assert predictions["split"].value_counts().to_dict() == {"train": 1_200, "validation": 150, "test": 150}
    assert predictions["probability"].between(0, 1, inclusive="neither").all()


def test_held_out_customers_get_the_saved_models_prediction_and_training_ones_do_not(
    tmp_path: Path, prepared: epath.Path
) -> None:
    context = _context(tmp_path, prepared)
    churn.run(ClassifierSettings(SMALL, ANY, folds=2), context)
    problem = classification.read(context, "customers")
    final = Classifier.load(context.artifacts / "classifier").predict(problem.frame)
    table = pd.read_parquet(context.artifacts / "predictions.parquet")
    np.testing.assert_array_equal(table["row"], problem.frame.index)
    held_out = (table["split"] != "train").to_numpy()
    np.testing.assert_array_equal(table["probability"][held_out], final[held_out])
    assert (table["probability"][~held_out] != final[~held_out]).mean() > 0.9


def test_acceptance_is_also_judged_on_later_calls_than_it_learnt_from(tmp_path: Path, prepared: epath.Path) -> None:
    context = _context(tmp_path, prepared)
    summary = acceptance.run(AcceptanceConfig(SMALL, ANY, folds=2), context)
    assert {"cv_brier_skill", "time_ordered_auc", "time_ordered_ece", "time_ordered_auc_low"} <= set(summary)
    problem = classification.read(context, "contacts")
    np.testing.assert_array_equal(problem.frame.index, np.arange(3_000))  # in order of time again
    assert summary["time_ordered_train_rate"] == pytest.approx(problem.label[:2_400].mean())
    assert summary["time_ordered_test_rate"] == pytest.approx(problem.label[2_700:].mean())
    assert summary["time_ordered_ece"] > summary["cv_ece"]
    assert (context.artifacts / "reliability_time_ordered.png").exists()


def test_real_data_below_a_gate_stop_the_run_and_leave_the_picture(tmp_path: Path, prepared: epath.Path) -> None:
    context = _context(tmp_path, prepared, source="real")
    with pytest.raises(
        DataError, match=r"gate: customers: cv_auc is 0\.\d+; allowed: 0.99 or more.*--churn.gates.minimum-auc"
    ):
        churn.run(ClassifierSettings(SMALL, Gates(0.99, 1.0, -1.0), folds=2), context)
    assert [path.name for path in context.artifacts.iterdir()] == ["reliability.png"]


def test_synthetic_data_below_a_gate_are_only_told(capsys: pytest.CaptureFixture[str]) -> None:
    measures = {
        name: Measure(value, value, value) for name, value in (("auc", 0.6), ("ece", 0.2), ("brier_skill", 0.01))
    }
    classification.check(Gates(0.7, 0.1, 0.05), measures, "synthetic", "bank")
    told = capsys.readouterr().err
    assert told.count("not enforced on synthetic data") == 3
    with pytest.raises(DataError, match=r"cv_auc .* cv_brier_skill .* cv_ece"):
        classification.check(Gates(0.7, 0.1, 0.05), measures, "real", "bank")


@pytest.mark.parametrize("gates", [(1.1, 0.1, 0.0), (0.7, -0.1, 0.0), (0.7, 0.1, float("nan"))])
def test_gates_out_of_range_are_refused(gates: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        Gates(*gates)


def test_the_mvp_preset_is_the_predecessors() -> None:
    config = load_preset("mvp").config("churn", ClassifierSettings)
    assert (config.booster.trees, config.booster.depth, config.booster.learning_rate) == (100, 6, 0.1)
    assert (config.gates.minimum_auc, config.gates.maximum_ece) == (0.78, 0.05)
    assert load_preset("mvp").config("acceptance", AcceptanceConfig).gates.minimum_auc == 0.70


def test_without_a_log_acceptance_is_a_belief_and_says_so(
    tmp_path: Path, prepared: epath.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = epath.Path(tmp_path / "data")
    catalog.prepare(dataclasses.replace(synthetic.generate("telco", rows=300), name="customers"), alone / "artifacts")
    plain = companies.load("demo").to_dict()
    storage.write_json(alone / "artifacts" / companies.FILE, {**plain, "contacts": None})
    context = _context(tmp_path / "acceptance", alone)
    assert acceptance.run(AcceptanceConfig(assumed=0.2), context) == {"assumed": 0.2}
    assert "ASSUMED that 20%" in capsys.readouterr().out
    problem = classification.read(context, "customers")
    np.testing.assert_allclose(Classifier.load(context.artifacts / "classifier").predict(problem.frame), 0.2, rtol=1e-6)


def test_a_model_that_may_be_no_better_than_chance_is_refused_whatever_the_gates() -> None:
    measures = {"auc": Measure(0.6, 0.48, 0.7), "ece": Measure(0.0, 0.0, 0.0), "brier_skill": Measure(0.1, 0.0, 0.2)}
    assert Gates().failures(measures) == [
        "cv_auc may be as low as 0.480: not shown to beat chance; more rows or facts help"
    ]


def test_a_run_for_a_few_seconds_asks_no_more_of_a_company_than_its_real_one() -> None:
    for stage, kind in (("churn", ClassifierSettings), ("acceptance", AcceptanceConfig)):
        quick, real = (load_preset(name).config(stage, kind).gates for name in ("smoke", "train"))
        assert quick == real

"""The stage on the real trial: figures that others have measured, and the files it leaves."""

import json
from pathlib import Path

import numpy as np
import pytest
from etils import epath

from experiments import hillstrom
from experiments.hillstrom import HillstromConfig
from experiments.stage import Context
from retentionjax.data import catalog, sources
from retentionjax.data.public_sets import HILLSTROM
from retentionjax.data.schema import Provenance, Table, typed
from retentionjax.errors import ConfigError, DataError
from retentionjax.tabular.boosting import BoosterConfig

SMALL = HillstromConfig(BoosterConfig(trees=50, depth=3, learning_rate=0.1), folds=3, splits=3, resamples=100)


def context(folder: Path, prepared: epath.Path) -> Context:
    made = Context(epath.Path(folder) / "stage", {"data": prepared}, resume=False, data="auto", data_source="real")
    made.artifacts.mkdir(parents=True)
    return made


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> epath.Path:
    """A data stage's folder with the trial in it."""
    folder = epath.Path(tmp_path_factory.mktemp("data"))
    catalog.prepare(sources.load("hillstrom", mode="real"), folder / "artifacts")
    return folder


def test_an_invented_trial_gives_the_effects_it_was_made_with(tmp_path: Path) -> None:
    """Men's e-mail brings .3 visits a customer; women's .4, to those who bought women's things and to nobody else."""
    random, rows = np.random.default_rng(0), 6000
    features = {name: random.choice(values, rows) for name, values in HILLSTROM.categorical.items()}
    features |= {"recency": random.integers(1, 13, rows), "history": random.gamma(2.0, 100.0, rows)}
    arm, womens = random.integers(0, 3, rows), features["womens"] == "1"
    visit = random.random(rows) < 0.1 + 0.3 * (arm == 1) + 0.4 * ((arm == 2) & womens)
    outcomes = {"visit": visit, "conversion": visit, "spend": 50.0 * (visit & (random.random(rows) < 0.5))}
    frame = typed(HILLSTROM, features | outcomes | {"segment": np.array(HILLSTROM.arms)[arm]})
    prepared, stage = epath.Path(tmp_path / "data"), context(tmp_path, epath.Path(tmp_path / "data"))
    invented = Provenance("synthetic", "invented", "", "none", rows)
    catalog.prepare(Table("hillstrom", frame, HILLSTROM, invented), prepared / "artifacts")
    sizes = HillstromConfig(BoosterConfig(trees=10, depth=3, learning_rate=0.3), folds=2, splits=2, resamples=50)
    found = hillstrom.run(sizes, stage)
    means = {"never": 0.1, "all_mens": 0.4, "all_womens": 0.1 + 0.4 * womens.mean()}
    for name, mean in means.items():
        assert found[f"value_visit_{name}"] == pytest.approx(mean, abs=0.03), name
        assert found[f"value_spend_{name}"] == pytest.approx(25 * mean, abs=1.5), name
    assert found["effect_visit_mens"] == pytest.approx(0.3, abs=0.04)
    assert found["effect_visit_womens"] == pytest.approx(0.4 * womens.mean(), abs=0.04)
    assert found["propensity_auc"] == pytest.approx(0.5, abs=0.04)
    assert found["t_learner_top_effect"] == pytest.approx(0.4, abs=0.07)  # three in ten: all bought women's things
    assert found["t_learner_bottom_effect"] == pytest.approx(0.0, abs=0.07)
    assert found["qini_positive_splits"] == found["qini_splits"] == 2
    assert found["value_visit_greedy"] > found["value_visit_all_mens"] + 0.02
    curves = json.loads((stage.artifacts / "curves.json").read_text())
    assert curves["womens"]["gain"][-1] == pytest.approx(0.4 * womens.mean(), abs=0.04)


@pytest.mark.slow
@pytest.mark.real_data
def test_the_trial_gives_the_effects_and_rankings_that_are_known(
    real_data: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    stage = context(tmp_path, request.getfixturevalue("prepared"))
    found = hillstrom.run(SMALL, stage)
    assert found["effect_visit_mens"] == pytest.approx(0.0766, abs=5e-5)
    assert found["effect_visit_womens"] == pytest.approx(0.0452, abs=5e-5)
    assert found["effect_visit_mens"] / (found["effect_visit_mens"] - found["effect_visit_mens_low"]) * 1.96 == (
        pytest.approx(22.6, abs=0.1)  # its z
    )
    assert found["propensity_auc"] == pytest.approx(0.5, abs=0.01)
    assert found["t_learner_top_effect_low"] < 0.0695 < found["t_learner_top_effect_high"]
    assert found["t_learner_bottom_effect_low"] < 0.0182 < found["t_learner_bottom_effect_high"]
    assert found["qini_womens_low"] > 0
    assert found["qini_positive_splits"] == found["qini_splits"] == 3
    rates = {"never": 0.1062, "all_mens": 0.1828, "all_womens": 0.1514}
    for name, rate in rates.items():
        assert found[f"value_visit_{name}"] == pytest.approx(rate, abs=0.001), name
        assert found[f"value_visit_{name}_low"] < rate < found[f"value_visit_{name}_high"]
    assert found["value_visit_never"] < found["value_visit_t_learner_top"] < found["value_visit_all_mens"]
    full = json.loads((stage.artifacts / "off_policy.json").read_text())
    estimates = full["visit"]["all_mens"]["estimates"]
    assert max(each["mean"] for each in estimates.values()) - min(each["mean"] for each in estimates.values()) < 0.003
    assert full["spend"]["greedy"]["overlap"]["episodes"] == 64_000
    curves = json.loads((stage.artifacts / "curves.json").read_text())
    assert np.allclose(curves["womens"]["gain"][-1], 0.0452, atol=0.001)


def test_without_the_trial_the_stage_says_what_the_catalog_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no set 'hillstrom'"):
        hillstrom.run(SMALL, context(tmp_path, epath.Path(tmp_path)))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="share: 0"):
        HillstromConfig(share=0.0)

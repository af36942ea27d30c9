"""The way from a company's files to the worlds in which its policy is trained."""

from pathlib import Path

import numpy as np
import pytest
from etils import epath

from experiments import companies, customers, data, effects, stage
from experiments.config import Options
from retentionjax import storage
from retentionjax.company.environment import env_params
from retentionjax.env import worlds


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> dict[str, stage.Context]:
    """The stages data and effects of the demo's company, as it is and without its declared effects."""
    folder = tmp_path_factory.mktemp("effects")
    demo = companies.path("demo").read_text()
    before, _, rest = demo.partition("effects:\n")
    plain = folder / "plain.yaml"
    plain.write_text(before + "effects: {}\n" + rest[rest.index("messages:") :])
    found = {}
    for name, company in (("declared", "demo"), ("prior", str(plain))):
        config = data.DataConfig(company, synthetic_rows=300)
        inputs = {each: epath.Path(folder / name / each) for each in ("data", "effects")}
        outside = data.outside(config, "synthetic")
        options = Options(runs=str(folder), data="synthetic")
        stage.perform(stage.Work(data.STAGE, config, inputs["data"], {}, outside, options), go_on="never")
        work = stage.Work(
            effects.STAGE, effects.EffectsConfig(), inputs["effects"], {"data": inputs["data"]}, None, options
        )
        stage.perform(work, go_on="never")
        found[name] = stage.Context(epath.Path(folder / name / "policy"), inputs, False, "synthetic", "synthetic")
    return found


def test_what_the_company_declares_is_known_and_leaves_one_world(finished) -> None:
    context = finished["declared"]
    company = companies.of(context.inputs)
    params = env_params(company, 65.0)
    believed = effects.believed(context, company, params, {})
    assert believed.worlds is None
    assert believed.hazard_multiplier is params.hazard_multiplier


def test_without_a_log_the_prior_is_drawn_anew_for_training_and_judging(finished, tmp_path: Path) -> None:
    context = finished["prior"]
    summary = storage.read_json(context.inputs["effects"] / "summary.json")
    assert summary["identified"] == 0
    company = companies.of(context.inputs)
    believed = effects.believed(context, company, env_params(company, 65.0), {})
    assert worlds.count(believed) == 256
    kept = np.asarray(believed.worlds["hazard_multiplier"])[:, 2]
    assert np.quantile(kept, [0.05, 0.5, 0.95]) == pytest.approx([0.45, 0.75, 1.1], abs=0.12)
    assert {"effect_days", "risk_ratio", "appeal", "fatigue_hazard"} <= believed.worlds.keys()
    np.testing.assert_allclose(
        believed.hazard_multiplier, np.asarray(believed.worlds["hazard_multiplier"]).mean(0), rtol=1e-5
    )
    storage.write_arrays(epath.Path(tmp_path) / customers.WORLDS, believed.worlds)
    taught, judged = customers.taught(believed), customers.judged(believed, epath.Path(tmp_path))
    together = np.concatenate([taught.worlds["accept_risk"], judged.worlds["accept_risk"]])
    np.testing.assert_array_equal(together, believed.worlds["accept_risk"])


def test_constants_that_the_settings_choose_are_the_same_in_every_world(finished) -> None:
    context = finished["prior"]
    company = companies.of(context.inputs)
    chosen = {"hazard_multiplier": [0.5] * 4, "risk_ratio": 3.0}
    believed = effects.believed(context, company, env_params(company, 65.0), chosen)
    assert not {"hazard_multiplier", "risk_ratio"} & believed.worlds.keys()
    np.testing.assert_array_equal(believed.hazard_multiplier, [0.5] * 4)
    assert believed.risk_ratio == 3.0

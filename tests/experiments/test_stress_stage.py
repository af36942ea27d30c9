"""The stage on a few customers: the keys by which runs are compared, and the names in stress.json."""

import json

import bundles
import numpy as np
import pandas as pd
import pytest
from etils import epath

from experiments import companies, stress
from experiments import customers as people
from experiments.stage import Context
from experiments.stress import StressConfig
from retentionjax import storage
from retentionjax.env.types import EnvParams
from retentionjax.errors import ConfigError
from retentionjax.evaluation import learned, rollout
from retentionjax.evaluation.stress import AXES, SHAPES


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    """After a policy stage about thirty customers and an untrained policy that contacts often."""
    folder = epath.Path(tmp_path_factory.mktemp("stress"))
    random = np.random.default_rng(0)

    def table(rows: int) -> pd.DataFrame:
        columns = (
            [str(row) for row in range(rows)],
            random.uniform(20, 115, rows),
            random.beta(1, 3, rows).clip(0.01, 0.9),
            random.beta(1, 8, rows).clip(0.01, 0.9),
            np.arange(rows),
        )
        return pd.DataFrame(dict(zip(people.COLUMNS, columns, strict=True)))

    artifacts = folder / "policy/artifacts"
    people.save(people.JoinedCustomers(table(40), table(30)), EnvParams(), artifacts)
    storage.write_json(artifacts / "limits.json", {"campaign_budget": 2.5})
    learned.save(bundles.trained(wait_bias=3.0), artifacts / "policy")
    storage.write_json(folder / "data/artifacts" / companies.FILE, bundles.COMPANY.to_dict())
    inputs = {name: folder / name for name in stress.STAGE.needs}
    made = Context(folder / "run", inputs, resume=False, data="auto", data_source="synthetic")
    made.artifacts.mkdir(parents=True)
    return made


@pytest.mark.slow
def test_the_worst_world_is_named_and_followed(
    context: Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "CHUNK", 1_024)  # or each world's 30 episodes are filled up to 1,024
    summary = stress.run(StressConfig(replicates=1, tuning_steps=4), context)
    assert summary["worlds"] == 1 + 2 * len(AXES) + len(SHAPES) + 2
    for axis in (*AXES, None):
        for end in ("down", "up"):
            key = f"uplift_ppo_{axis.name if axis else 'budget'}_{end}"
            assert summary[f"{key}_low"] <= summary[key] <= summary[f"{key}_high"]
            assert summary["worst_uplift_ppo"] <= summary[key]
    for shape in SHAPES:
        assert summary["worst_uplift_ppo"] <= summary[f"uplift_ppo_{shape}"]
    written = json.loads((context.artifacts / "stress.json").read_text())
    assert written["worst"]["policies"]["ppo"]["uplift"]["mean"] == pytest.approx(summary["worst_uplift_ppo"])
    assert {world["axis"] for world in written["worlds"]} == {"base", "budget", *SHAPES, *(axis.name for axis in AXES)}
    crossing = written["break_even"]["never_wins_from"]
    assert (crossing is not None) == bool(summary["break_even_found"])
    assert "Worst case: " in capsys.readouterr().out


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"budgets: \(0\.0, 1\.3\)"):
        StressConfig(budgets=(0.0, 1.3))

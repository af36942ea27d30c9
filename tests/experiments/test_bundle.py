"""The bundle stage's own arithmetic: the example in trouble, the commit it names."""

import dataclasses
import io
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bundles
import customer_tables
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from etils import epath
from rich.console import Console

from experiments import bundle, pipeline
from experiments.stage import Context
from retentionjax import cli, storage
from retentionjax.bundle import load, write
from retentionjax.bundle.cards import card
from retentionjax.bundle.manifest import gate_advice
from retentionjax.data.schema import Provenance, Table
from retentionjax.decide.customer import is_elevated, read
from retentionjax.decide.decision import decide
from retentionjax.decide.printing import show
from retentionjax.decide.program import Decider
from retentionjax.env import EnvParams, actions, dynamics, observation
from retentionjax.errors import ConfigError
from retentionjax.evaluation import learned


@pytest.mark.parametrize("today", [0.3, 0.6, 0.85])
def test_the_usual_risk_is_the_one_whose_elevated_day_gives_today_s_score(today: float) -> None:
    usual = bundle.usual_risk(today, EnvParams())
    seen = dynamics.rescored_churn_probability(usual, jnp.asarray(True), EnvParams())
    assert float(seen) == pytest.approx(today, abs=1e-4)
    assert bool(is_elevated(today, usual, EnvParams()))


@pytest.mark.parametrize("days", [1, 2, 90])
def test_the_example_that_was_contacted_recently_is_possible_in_a_campaign_of_any_length(days: int) -> None:
    """A campaign of one day has no contact before today's."""
    short: Any = SimpleNamespace(params=EnvParams(horizon_days=days, contact_cost=0.0079))
    known = read(bundle.recently_contacted(short), short.params, ("ten",), where="example")
    assert known.contacts_days_ago == {1: (), 2: (1,), 90: (3,)}[days]


def test_the_commit_is_that_of_the_checkout_and_none_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundle, "ROOT", tmp_path)
    assert bundle.git_commit() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "file").write_text("1")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    commit = bundle.git_commit()
    assert commit is not None
    assert len(commit) == 40
    (tmp_path / "file").write_text("2")
    assert bundle.git_commit() == f"{commit}-dirty"
    (tmp_path / "inside").mkdir()
    monkeypatch.setattr(bundle, "ROOT", tmp_path / "inside")
    assert bundle.git_commit() is None


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Context:
    """After the stage policy, with a chance of three in five to gain anything."""
    folder = epath.Path(tmp_path_factory.mktemp("gate"))
    learned.save(bundles.trained(wait_bias=-6.0), folder / "policy/artifacts/policy")
    storage.write_json(folder / "policy/summary.json", {"gate_probability": 0.6})
    storage.write_json(folder / "effects/summary.json", {"is_reliable": 1})
    return Context(folder / "bundle", {name: folder / name for name in ("policy", "effects")}, False, "auto", "real")


def test_the_charge_is_watched_though_it_is_no_feature(tmp_path: Path) -> None:
    schema = dataclasses.replace(bundles.CHURN, numeric=("months",))
    random = np.random.default_rng(0)
    left = np.arange(200) % 4 == 0
    frame = pd.DataFrame({"months": random.integers(0, 60, 200), "bill": random.uniform(20, 120, 200), "left": left})
    frame = frame.assign(number=[str(row) for row in range(200)], plan="basic").rename_axis("row")
    storage.write_bytes(
        epath.Path(tmp_path) / "artifacts/predictions.parquet",
        pd.DataFrame(
            {"row": frame.index, "label": left.astype(int), "score": random.normal(size=200), "probability": 0.25}
        ).to_parquet(),
    )
    made_by = Provenance("real", "a file", "0" * 64, "own", 200)
    table = Table("phone", frame.assign(left=left.astype(float)), schema, made_by)
    assert set(bundle.reference(epath.Path(tmp_path), table, with_charge=True).columns) == {"months", "bill", "plan"}
    assert set(bundle.reference(epath.Path(tmp_path), table, with_charge=False).columns) == {"months", "plan"}


def test_a_policy_not_shown_to_gain_is_replaced_by_one_that_always_waits(finished: Context) -> None:
    trained, gate = bundle.gated(finished, 0.9)
    assert gate == {"gate_probability": 0.6, "gate_minimum": 0.9, "is_reliable": 1.0, "waits": 1.0}
    random = np.random.default_rng(0)
    rows = random.uniform(*observation.bounds(4), (50, observation.size(4))).astype(np.float32)
    masks = np.ones((50, actions.count(EnvParams())), bool)
    propensities, values = bundle.served(trained)(jnp.asarray(rows), jnp.asarray(masks))
    np.testing.assert_array_equal(propensities, np.eye(13)[np.zeros(50, int)])
    np.testing.assert_array_equal(values, 0.0)


def test_told_otherwise_the_learned_policy_is_kept(finished: Context) -> None:
    trained, gate = bundle.gated(finished, 0.5)
    assert not gate["waits"]
    assert float(trained.policy.hyperparameter) == -6.0


def test_a_chance_that_rests_on_draws_which_failed_their_check_ships_nothing(finished: Context, tmp_path: Path) -> None:
    storage.write_json(tmp_path / "summary.json", {"is_reliable": 0})
    doubtful = dataclasses.replace(finished, inputs={**finished.inputs, "effects": epath.Path(tmp_path)})
    _, gate = bundle.gated(doubtful, 0.5)
    assert gate["waits"]
    assert "check" in gate_advice(gate)
    assert not bundle.gated(doubtful, 0.0)[1]["waits"]


def test_a_run_of_another_version_is_refused_by_name(finished: Context, tmp_path: Path) -> None:
    storage.write_json(tmp_path / "summary.json", {"probability_beats_never": 0.95})
    old = dataclasses.replace(finished, inputs={**finished.inputs, "policy": epath.Path(tmp_path)})
    (tmp_path / "artifacts").symlink_to(finished.inputs["policy"] / "artifacts")
    with pytest.raises(ConfigError, match=r"gate_probability.*run experiments\.policy anew"):
        bundle.gated(old, 0.9)
    write(tmp_path / "bundle", bundles.contents(bundles.trained()))
    with pytest.raises(ConfigError, match="another version"):
        bundle.shipped(epath.Path(tmp_path / "bundle"))


def test_the_messages_bundle_holds_what_the_first_one_ships(finished: Context, tmp_path: Path) -> None:
    trained, gate = bundle.gated(finished, 0.9)
    write(tmp_path / "bundle", dataclasses.replace(bundles.contents(trained), metrics={"gate": gate}))
    assert bundle.shipped(epath.Path(tmp_path / "bundle"))[1] == gate


def test_a_bundle_that_waits_says_why_wherever_it_speaks(
    finished: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, gate = bundle.gated(finished, 0.9)
    assumed = {"hazard_multiplier_ten": (0.75, 0.45, 1.1, 0), "contact_effect": (0.0, 0.0, 0.0, 0)}
    known = {"hazard_multiplier_five": (0.8, 0.7, 0.9, 1)}
    ends = ("median", "low", "high", "is_estimated")
    effects = {
        f"{name}_{end}": each
        for name, figures in (assumed | known).items()
        for end, each in zip(ends, figures, strict=True)
    }
    written = dataclasses.replace(bundles.contents(trained), metrics={"gate": gate, "effects": effects})
    folder = tmp_path / "run/bundle/artifacts/bundle"
    write(folder, written)
    loaded = load(folder)
    decision = decide(Decider(loaded, sizes=(1,)), bundles.CUSTOMER)
    assert decision.propensity == 1.0
    printed = io.StringIO()
    show(decision, Console(file=printed, width=2000))
    storage.write_json(tmp_path / "run/bundle/artifacts/customers/somebody.json", bundles.CUSTOMER)
    customers = customer_tables.write(tmp_path / "customers.parquet", 5)
    told = ["--bundle", str(folder), "--customers", str(customers), "--out", str(tmp_path / "scored")]
    assert cli.main(["score", *told]) == 0
    texts = {
        "decide": printed.getvalue(),
        "score": capsys.readouterr().out,
        "card": card(loaded.manifest),
        "train": pipeline.next_steps(epath.Path(tmp_path / "run"))[0],
    }
    for place, text in texts.items():
        assert "contacts nobody" in text, place
        assert "60%" in text, place
        assert "retentionjax pilot" in text, place
        assert (
            "figures of value, spend and contacts are those of the learned policy, which is not in it" in text.lower()
        )
    assert "How well offers keep customers: ten assumed, five estimated." in texts["decide"]
    assert "| `hazard_multiplier_ten` | 0.75 | 0.45 to 1.1 | assumed |" in texts["card"]
    assert "| `hazard_multiplier_five` | 0.8 | 0.7 to 0.9 | estimated |" in texts["card"]
    assert "| `contact_effect` | 0 | 0 to 0 | declared |" in texts["card"]

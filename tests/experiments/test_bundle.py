"""The bundle stage's own arithmetic: the example in trouble, the commit it names."""

import subprocess
from pathlib import Path

import jax.numpy as jnp
import pytest

from experiments import bundle
from retentionjax.decide.customer import is_elevated
from retentionjax.env import EnvParams, dynamics


@pytest.mark.parametrize("today", [0.3, 0.6, 0.85])
def test_the_usual_risk_is_the_one_whose_elevated_day_gives_today_s_score(today: float) -> None:
    usual = bundle.usual_risk(today, EnvParams())
    seen = dynamics.rescored_churn_probability(usual, jnp.asarray(True), EnvParams())
    assert float(seen) == pytest.approx(today, abs=1e-4)
    assert bool(is_elevated(today, usual, EnvParams()))


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

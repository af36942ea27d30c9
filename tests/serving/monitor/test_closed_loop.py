"""Simulated weeks: drift arrives, the monitor notices, a recalibrated bundle is promoted, the value comes back."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import bundles
import engines
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from simulated_weeks import Weeks, live

import retentionjax.bundle
from retentionjax import cli
from retentionjax.bundle import pointer
from retentionjax.env import observation
from retentionjax.shield.rules import DEFAULT
from serving import monitor_command
from serving.engine.slots import Served
from serving.ledger import Ledger
from serving.monitor import judging

TEN_PERCENT_TODAY = 7
RISKY = 0.3  # usual churn probability from which the policy of this test offers 10 %, once


def offers_to_the_risky(observations: Any, masks: Any) -> tuple[Any, Any]:
    """A rule as a policy program: 10 % off for whoever is risky and was not contacted of late."""
    column = {name: observations[:, index] for index, name in enumerate(observation.names(4))}
    wanted = (column["baseline_churn_probability"] > RISKY) & (column["contacts_in_window"] == 0)
    contact = jnp.where(wanted & masks[:, TEN_PERCENT_TODAY], 1.0, 0.0)
    chances = jnp.zeros(masks.shape).at[:, TEN_PERCENT_TODAY].set(contact).at[:, 0].set(1 - contact)
    return chances, jnp.zeros((masks.shape[0], 5))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that the campaigns start with."""
    folder = tmp_path_factory.mktemp("loop") / "first"
    plain = bundles.contents(bundles.trained())
    shielded = dataclasses.replace(plain, rules=epath.Path(DEFAULT))
    retentionjax.bundle.write(folder, dataclasses.replace(shielded, decide=offers_to_the_risky))
    return folder


@pytest.mark.slow
def test_drift_is_noticed_and_a_recalibrated_bundle_brings_the_value_back(
    first: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(Served, "load", engines.load)  # by the version's own folder, never by the pointer
    clock, current = engines.Clock(), tmp_path / "production" / "current"
    assert cli.main(["bundle", "promote", str(first), str(current)]) == 0
    world = retentionjax.bundle.load(first)
    database = f"sqlite:///{tmp_path}/ledger.db"

    def look(days: float) -> judging.MonitorVerdict:
        ledger = Ledger.open(database, clock=clock)
        try:
            bundle = retentionjax.bundle.load(pointer.resolve(current))
            return judging.check(ledger, bundle, judging.AlarmLimits(days=days))
        finally:
            ledger.close()

    live(current, world, tmp_path, clock, Weeks("calm", 4, drift=0.0, customers=400))
    calm = look(days=28)
    assert calm.alarms == ()
    assert calm.churn.low < 1 < calm.churn.high

    stale = live(current, world, tmp_path, clock, Weeks("drifted", 4, drift=1.2, customers=400))
    drifted = look(days=28)
    assert [alarm.split(":")[0] for alarm in drifted.alarms] == ["churn"]
    assert drifted.recalibrate
    assert drifted.churn.shift == pytest.approx(1.2, abs=0.4)
    (tmp_path / "monitor.json").write_text(json.dumps(drifted.to_dict()))
    monitor_command.show(drifted, "EUR")
    assert "ALARM churn" in capsys.readouterr().out

    new = ["--monitor", str(tmp_path / "monitor.json"), "--out", str(tmp_path / "second")]
    assert cli.main(["bundle", "recalibrate", str(current), *new]) == 0
    assert cli.main(["bundle", "promote", str(tmp_path / "second"), str(current)]) == 0

    unheard = look(days=28)  # of the second bundle nothing is known yet: it is not asked to move as the first one was
    assert unheard.by_others == unheard.decisions > 0
    assert unheard.alarms == ()

    fresh = live(current, world, tmp_path, clock, Weeks("recalibrated", 4, drift=1.2, customers=400))
    mended = look(days=28)
    assert mended.value.policy is not None  # of the drifted weeks, which are long enough ago
    assert mended.value.policy.low < mended.value.policy.high
    assert mended.alarms == ()
    assert mended.churn.low < 1 < mended.churn.high
    gain = fresh - stale  # the same customers with common random numbers
    assert gain.mean() - 2 * gain.std() / np.sqrt(len(gain)) > 0

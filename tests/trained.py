"""Runs of `retentionjax train` in the smallest sizes, and what a service says that serves their bundle."""

from pathlib import Path
from typing import Any

import engines
import pytest

from retentionjax import storage
from retentionjax.bundle import pointer
from serving.engine.slots import Served

SMALL = (
    *("--churn.booster.trees", "10", "--churn.folds", "2", "--policy.ppo.num-iterations", "4"),
    *("--policy.ppo.num-envs", "32", "--policy.ppo.num-minibatches", "2", "--policy.spend-tolerance", "0", "9"),
    *("--policy.tuning-replicates", "1", "--policy.check-replicates", "1", "--evaluate.replicates", "1"),
    *("--evaluate.tuning-replicates", "1", "--evaluate.tuning-steps", "2", "--evaluate.thompson-rounds", "1"),
    *("--evaluate.t-learner.episodes", "4096", "--evaluate.t-learner.trees", "2", "--evaluate.t-learner.depth", "2"),
    *("--policy.doubt-customers", "20", "--evaluate.doubt-customers", "20", "--evaluate.worlds", "4"),
    *("--evaluate.optimum-customers", "2", "--evaluate.optimum-replicates", "20", "--report.replicates", "1"),
)


def served_contact(run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The first contact that the service decides on about the run's own request, asked for one customer after another;
    it explores, for a policy of so small sizes may wait for ever."""
    monkeypatch.setattr(Served, "load", engines.load)
    clock = engines.Clock()
    request = storage.read_json(run / "request.json")
    with engines.caller(engines.settings(pointer.find(run), folder, exploration=1.0), clock) as client:
        for number in range(64):
            answer = client.post("/v1/decisions", json={**request, "customer_id": f"C-{number}"})
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            if found["decision"] == "contact":
                return found
    raise AssertionError("64 decisions without a contact")

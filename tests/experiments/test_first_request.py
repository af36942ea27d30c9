"""After training: the command that serves, and the request that asks."""

from pathlib import Path

import bundles
from etils import epath

from experiments import pipeline
from retentionjax import storage


def test_the_request_holds_the_facts_and_the_usual_risk_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    run = epath.Path(tmp_path / "run")
    bundles.make(tmp_path / "run/bundle/artifacts/bundle")
    customer = {
        **bundles.CUSTOMER,
        "history": {"day": 3, "baseline_churn_probability": 0.2},
        "recipient": {"first_name": "Dana"},
    }
    storage.write_json(run / "bundle/artifacts/customers/somebody.json", customer)
    lines = pipeline.next_steps(run)
    assert any(f"retentionjax serve --bundle {run} " in line for line in lines)
    assert any("curl" in line and f"@{run}/request.json" in line for line in lines)
    request = storage.read_json(run / "request.json")
    facts = {name: value for name, value in bundles.CUSTOMER.items() if name != "customer_id"}
    assert request == {"customer_id": "C-1", "facts": facts, "explain": True, "first_name": "Dana"} | {
        "baseline_churn_probability": 0.2
    }
    assert "the file's history (day)" in lines[-1]


def test_a_run_without_a_bundle_says_nothing(tmp_path: Path) -> None:
    assert pipeline.next_steps(epath.Path(tmp_path)) == []

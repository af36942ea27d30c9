"""A run as the stages leave it, small enough to write in a second: synthetic customers and an untrained policy."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import pandas as pd
from etils import epath

from experiments import companies
from retentionjax.data import catalog, synthetic
from retentionjax.env import EnvParams, record
from retentionjax.evaluation import learned

ROWS = 400
POLICIES = {"ppo": 5.0, "greedy_fatigue": 4.0, "threshold": -0.5, "never": 0.0}
"""Uplift of each."""


def make(folder: Path, *, source: str = "real", uplift: float = 5.0, lead: float = 1.0) -> Path:
    """The stages data, churn, acceptance, policy and evaluate, as if of `source`; returns the run's folder.

    `uplift` and `lead` are the learned policy's over never and over the best rule; intervals are ± 0.5.
    """
    telco = dataclasses.replace(synthetic.generate("telco", rows=ROWS), name="customers")
    artifacts = _stage(folder, "data", source) / "artifacts"
    catalog.prepare(telco, artifacts)
    _write(artifacts / companies.FILE, companies.load("demo").to_dict())
    if source == "real":
        path = folder / "data/artifacts/catalog.json"
        path.write_text(path.read_text().replace('"kind": "synthetic"', '"kind": "real"'))
    for name in ("churn", "acceptance"):
        _classifier(folder, name, source)
    _policy(folder, catalog.read(artifacts, "customers").held_out, source)
    _evaluate(folder, source, uplift, lead)
    return folder


def _classifier(folder: Path, name: str, source: str) -> None:
    random = np.random.default_rng(0)
    probability = random.uniform(0.01, 0.99, ROWS)
    measures = ("auc", "ece", "brier", "brier_skill", "log_loss")
    figures = {f"{way}_{key}{end}": 0.5 for way in ("cv", "held_out") for key in measures for end in _ENDS}
    stage = _stage(folder, name, source, figures)
    table = pd.DataFrame({"label": (random.random(ROWS) < probability).astype(int), "probability": probability})
    table.to_parquet(stage / "artifacts/predictions.parquet")


def _policy(folder: Path, customers: pd.DataFrame, source: str) -> None:
    summary = {
        "spend_ratio": 0.96,
        "violations_masked": 0.0,
        "violations_raw_per_contact": 0.001,
        "multiplier_campaign_budget": 0.8,
        "train_seconds": 120.0,
        "env_steps": 18e6,
    }
    stage = _stage(folder, "policy", source, summary)
    artifacts = stage / "artifacts"
    learned.save(bundles.trained(wait_bias=2.0), epath.Path(artifacts / "policy"))
    _write(artifacts / "env.json", record.to_dict(EnvParams()))
    _write(artifacts / "matching.json", {"method": "independent draw", "rank_correlation": 0.0})
    _write(artifacts / "limits.json", {"campaign_budget": 2.5, "contact": None, "cooldown": 0.0, "fatigue": 0.0})
    random = np.random.default_rng(1)
    held_out = {
        "customer_id": customers["customerID"],
        "monthly_charge": customers["MonthlyCharges"],
        "churn_probability": random.uniform(0.05, 0.6, len(customers)),
        "accept_probability": random.uniform(0.05, 0.3, len(customers)),
    }
    pd.DataFrame(held_out).to_parquet(artifacts / "held_out.parquet")
    names = ("uplift", "cost_campaign_budget", "multiplier_campaign_budget")
    lines = [{"step": step, "time": 0.0, **dict.fromkeys(names, 3 - 3 / step)} for step in range(1, 11)]
    (stage / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _evaluate(folder: Path, source: str, uplift: float, lead: float) -> None:
    gains = POLICIES | {"ppo": uplift}
    policies = {
        name: {
            "uplift": estimate(gain),
            "spend": estimate(2.4),
            "roi": estimate(gain / 2.4) if name != "never" else dict.fromkeys(("mean", "low", "high")),
            "nrr": estimate(0.48, 0.02),
            "retention_rate": estimate(0.54, 0.02),
            "contacts": estimate(0.4, 0.1),
            "cooldown_violations": estimate(0.0, 0.0),
            "fatigue_violations": estimate(0.0, 0.0),
            "account_violations": estimate(0.0, 0.0),
        }
        for name, gain in gains.items()
    }
    evaluation = {
        "policies": policies,
        "paired_ppo_minus": {name: estimate(lead) for name in POLICIES if name != "ppo"},
        "segments": {"low risk": policies, "high risk": policies},
        "customers": 40,
        "replicates": 10,
    }
    _write(_stage(folder, "evaluate", source) / "artifacts/evaluation.json", evaluation)


def add_optional(folder: Path, source: str = "real") -> Path:
    """The exact optimum, other budgets, a real trial and messages, to the run that `make` made."""
    line = [
        {"hyperparameter": 1.0, "multiplier": 1.0, "spend": each, "uplift": 3 * each**0.5} for each in (0.5, 2.5, 5.0)
    ]
    evaluation = folder / "evaluate/artifacts/evaluation.json"
    optimum = {
        "customers": 16,
        "uplift": estimate(4.5, 0.1),
        "spend": 2.4,
        "at_spend": {"uplift": 4.6},
        "at_limit": {"budget": 2.5, "shadow_price": 0.87},
        "frontier": line,
    }
    _write(evaluation, json.loads(evaluation.read_text()) | {"optimum": optimum})
    summary = folder / "evaluate/summary.json"
    share = {"share_of_attainable_gain": 0.963, "shadow_price_exact": 0.87, "multiplier_learned": 0.91}
    _write(summary, json.loads(summary.read_text()) | share)
    multipliers = {"multiplier": [0.5, 1.0, 2.0], "spend": [4.0, 2.0, 1.0], "uplift": [6.0, 5.0, 3.0]}
    curves = {"any_budget": line, "greedy": line}
    found = {"exact": line, "trained": line, "curves": curves, "multipliers": multipliers, "customers": 32}
    _write(_stage(folder, "frontier", source, {"share_any_budget_2.5": 0.97}) / "artifacts/frontier.json", found)
    trial = {
        f"value_{outcome}_{name}{end}": 0.15
        for outcome in ("visit", "spend")
        for name in ("never", "all_mens", "greedy")
        for end in _ENDS
    }
    stage = _stage(folder, "hillstrom", source, trial | {"rows": 64_000.0, "propensity_auc": 0.5})
    curve = {part: [0.0, 0.05, 0.08] for part in ("spend", "gain", "low", "high")}
    _write(stage / "artifacts/curves.json", {"mens": curve, "womens": curve, "best": curve})
    worlds = [
        {"axis": axis, "title": title, "value": value, "policies": dict.fromkeys(("ppo", "greedy_fatigue"), outcome)}
        for axis, title, value, outcome in (
            ("base", "as assumed", 1.0, {"uplift": estimate(5.0), "spend": 2.4}),
            ("fatigue_hazard", "driven away by contacts ×0 / 2", 0.0, {"uplift": estimate(5.5), "spend": 2.4}),
            ("fatigue_hazard", "driven away by contacts ×0 / 2", 2.0, {"uplift": estimate(1.25), "spend": 2.4}),
        )
    ]
    way = {"values": [1.0, 20.0], "uplift": {"ppo": [5.0, -1.0], "greedy_fatigue": [4.0, -2.0]}}
    even = {"title": worlds[1]["title"], "never_wins_from": 3.21, "searched_to": 20.0, **way}
    harm = {"worlds": worlds, "worst": worlds[2], "break_even": even, "assumed_known": "Known: the charge."}
    _write(_stage(folder, "stress", source) / "artifacts/stress.json", harm)
    return folder


def estimate(mean: float, half: float = 0.5) -> dict[str, float]:
    """An estimate as evaluation.json holds it."""
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _stage(folder: Path, name: str, source: str, summary: dict[str, float] | None = None, config: Any = None) -> Path:
    stage = folder / name
    (stage / "artifacts").mkdir(parents=True)
    _write(stage / "stage.json", {"status": "done", "data_source": source, "config": config or {}})
    _write(stage / "summary.json", {"data_source": source, **(summary or {}), "seconds": 1.0})
    return stage


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


_ENDS = ("", "_low", "_high")

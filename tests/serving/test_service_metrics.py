"""Metrics as Prometheus reads them, and the drift gauge against a mean computed by hand."""

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.observability.metrics import CampaignMetrics, Metrics, ScoreDrift


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value as a scrape of the exposition would find it."""
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            if sample.name == f"retentionjax_{name}" and sample.labels == labels:
                return float(sample.value)
    return None


def test_decisions_are_counted_by_action_reason_and_the_rules_that_mattered() -> None:
    metrics = Metrics()
    metrics.decision("active", "wait", "cooldown", ("cooldown", "fatigue"))
    metrics.decision("active", "wait", "cooldown", ("cooldown",))
    assert value(metrics, "decisions_total", slot="active", action="wait", reason="cooldown") == 2
    assert value(metrics, "violations_prevented_total", rule="cooldown") == 2
    assert value(metrics, "violations_prevented_total", rule="fatigue") == 1


def test_money_queues_stages_and_bundles_are_shown() -> None:
    metrics = Metrics()
    shown = CampaignMetrics({"spent": 1.5, "left": 8.5}, multiplier=0.8, throttle=0.9)
    metrics.campaigns({"default": shown, "over": shown})
    metrics.campaigns({"default": shown})
    metrics.queue("decisions", 3)
    metrics.batch(8)
    metrics.stage("commit", 0.003)
    metrics.request("/v1/decisions", 200, 0.004)
    metrics.bundles({"active": "abc", "canary": "def"})
    metrics.bundles({"active": "def"})
    assert value(metrics, "campaign_dollars", campaign="default", state="spent") == 1.5
    assert value(metrics, "campaign_dollars", campaign="over", state="spent") is None
    assert value(metrics, "queue_depth", queue="decisions") == 3
    assert value(metrics, "batch_rows_count") == 1
    assert value(metrics, "stage_seconds_count", stage="commit") == 1
    assert value(metrics, "request_seconds_count", operation="/v1/decisions", status="200") == 1
    assert value(metrics, "bundle_info", slot="active", bundle="def") == 1
    assert value(metrics, "bundle_info", slot="active", bundle="abc") is None


def test_drift_is_the_shift_of_the_mean_in_standard_deviations() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(-1.0, 0.5, 500)
    drift = ScoreDrift(warm_up=500, memory=100)
    assert drift.observe(1 / (1 + np.exp(-odds))) == 0.0
    shifted = 1 / (1 + np.exp(-(odds + 1.0)))
    for _ in range(4):
        found = drift.observe(shifted)
    assert found == pytest.approx(1.0 / odds.std(), abs=0.3)

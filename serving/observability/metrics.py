"""Prometheus metrics: one object, with one method for each thing that happens, callable from any thread.

Counting costs a microsecond or two; the engine calls these from its own thread, once a decision or a micro-batch.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0.partition("; charset=")[0]  # which Litestar adds
PREFIX = "retentionjax_"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)

disable_created_metrics()  # when a counter began is of no use, and doubles the number of series


class CampaignMetrics(NamedTuple):
    """What is shown of a campaign."""

    dollars: Mapping[str, float]
    """Dollars by their state: budget, spent, reserved, left."""
    multiplier: float
    throttle: float


class _Campaigns(Collector):
    """Gauges of the campaigns that were last looked up; as gauges to be set they would be made anew at every look."""

    shown: Mapping[str, CampaignMetrics] = MappingProxyType({})

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Three gauges, a series for each campaign, and one for each state of its money."""
        dollars = _family("campaign_dollars", "A campaign's money by its state", "campaign", "state")
        multiplier = _family("campaign_multiplier", "What one more unit of budget is worth", "campaign")
        throttle = _family("campaign_throttle", "Share of contacts that pacing lets pass", "campaign")
        for name, found in self.shown.items():
            for state, amount in found.dollars.items():
                dollars.add_metric((name, state), amount)
            multiplier.add_metric((name,), found.multiplier)
            throttle.add_metric((name,), found.throttle)
        yield from (dollars, multiplier, throttle)


def _family(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, help_text, labels=labels)


class _Series(dict[tuple[str, ...], Counter]):
    """A counter's series by their labels: to look them up in the counter costs more than to count."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def __missing__(self, labels: tuple[str, ...]) -> Counter:
        self[labels] = found = self._counter.labels(*labels)
        return found


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._decisions = self._counter(
            "decisions", "Decisions made, by action and by reason", "slot", "action", "reason"
        )
        self._prevented = self._counter(
            "violations_prevented", "Decisions in which a rule removed an action the policy could have drawn", "rule"
        )
        self._blocks = self._counter("shield_blocks", "Texts that the shield refused, by rule", "rule")
        self._degradations = self._counter(
            "degradations", "Answers that fell short of what was asked, by what was lacking", "kind"
        )
        self._refusals = self._counter("refusals", "Requests answered with a problem, by its type", "type")
        self._outcomes = self._counter(
            "outcomes", "Outcomes reported, by what the ledger made of them", "kind", "status"
        )
        self._rollbacks = self._counter(
            "canary_rollbacks", "Canaries taken back, by the limit that was exceeded", "limit"
        )
        self._follow_failures = self._counter(
            "follow_failures", "Failed checks of which bundles are to serve, by kind of error", "error"
        )
        self._restarts = self._counter(
            "engine_restarts", "Times the engine's process ended by itself, by its exit code", "exit_code"
        )
        self._housekeeping_failures = self._counter(
            "housekeeping_failures", "Rounds of housekeeping that failed, by part and kind of error", "part", "error"
        )
        self._queue = self._gauge("queue_depth", "Decisions waiting now", "queue")
        self._batch = self._histogram("batch_rows", "Decisions in a micro-batch", _ROWS)
        self._stages = self._histogram(
            "stage_seconds", "Time of a stage of a micro-batch, or of a message", _SECONDS, "stage"
        )
        self._requests = self._histogram("request_seconds", "Time of an HTTP request", _SECONDS, "operation", "status")
        self._of_request: dict[tuple[str, int], Histogram] = {}
        self._campaigns = _Campaigns()
        self.registry.register(self._campaigns)
        self._drift = self._gauge(
            "score_drift", "Mean churn log-odds of late less those of the first decisions, in their s.d.", "bundle"
        )
        self._bundle = self._gauge("bundle_info", "1 for each bundle that serves", "slot", "bundle")

    def decision(self, slot: str, action: str, reason: str, rules: Iterable[str] = ()) -> None:
        """One decision: `action` as in "wait" or "offer_10_delay_1", why, and the rules that removed actions."""
        self._decisions[slot, action, reason].inc()
        for rule in rules:
            self._prevented[rule,].inc()

    def shield_blocks(self, rules: Iterable[str]) -> None:
        """The rules that a refused text broke."""
        for rule in rules:
            self._blocks[rule,].inc()

    def degradation(self, kind: str) -> None:
        """An answer that was less than asked for, such as "canary_failed"."""
        self._degradations[kind,].inc()

    def refusal(self, type: str) -> None:  # noqa: A002 - the member's name in RFC 9457
        """A problem that was answered."""
        self._refusals[type,].inc()

    def outcome(self, kind: str, status: str) -> None:
        """An outcome that was reported."""
        self._outcomes[kind, status].inc()

    def rollback(self, limit: str) -> None:
        """A canary was taken back because it passed `limit`."""
        self._rollbacks[limit,].inc()

    def follow_failure(self, error: str) -> None:
        """The bundles that are to serve could not be looked up or loaded; `error` is its class."""
        self._follow_failures[error,].inc()

    def queue(self, name: str, depth: int) -> None:
        """Waiting now in the queue "decisions" or "messages"."""
        self._queue.labels(name).set(depth)

    def batch(self, rows: int) -> None:
        """Size of a micro-batch."""
        self._batch.observe(rows)

    def stage(self, name: str, seconds: float) -> None:
        """Time of "wait", "views", "encode", "policy", "message", "commit" …"""
        self._stages.labels(name).observe(seconds)

    def request(self, operation: str, status: int, seconds: float) -> None:
        """Time of an HTTP request; `operation` is the address as a template, never with an id in it."""
        series = self._of_request.get((operation, status))
        if series is None:  # looking labels up costs more than observing
            series = self._of_request[operation, status] = self._requests.labels(operation, str(status))
        series.observe(seconds)

    def campaigns(self, shown: Mapping[str, CampaignMetrics]) -> None:
        """Money and pace now of these campaigns by their names, and of no others."""
        self._campaigns.shown = shown

    def drift(self, bundle: str, value: float) -> None:
        """See `ScoreDrift`."""
        self._drift.labels(bundle).set(value)

    def bundles(self, serving: Mapping[str, str]) -> None:
        """Which bundle serves in which slot."""
        self._bundle.clear()
        for slot, bundle in serving.items():
            self._bundle.labels(slot, bundle).set(1)

    def engine_restart(self, exit_code: int) -> None:
        """The engine's process ended and is started again."""
        self._restarts[str(exit_code),].inc()

    def housekeeping_failed(self, part: str, error: Exception) -> None:
        """A part of housekeeping failed and is tried again in the next round."""
        self._housekeeping_failures[part, type(error).__name__].inc()

    def exposition(self, engines: bytes = b"") -> bytes:
        """What /metrics answers; `engines` are the metrics of the engine's process, whose series come before ours."""
        ours = generate_latest(self.registry)
        return merged(engines, ours) if engines else ours

    def _counter(self, name: str, help_text: str, *labels: str) -> _Series:
        return _Series(Counter(PREFIX + name, help_text, labels, registry=self.registry))

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: Iterable[float], *labels: str) -> Histogram:
        return Histogram(PREFIX + name, help_text, labels, registry=self.registry, buckets=tuple(buckets))


def merged(first: bytes, second: bytes) -> bytes:
    """Two texts of the same metrics as one: of a series that both have, the first one's."""
    families: dict[str, dict[str, str]] = {}
    for line in first.decode().splitlines() + second.decode().splitlines():
        if line.startswith("# HELP "):
            family = families.setdefault(line.split(" ")[2], {})
        series = line if line.startswith("#") else line.rpartition(" ")[0]
        family.setdefault(series, line)
    return "".join(f"{line}\n" for family in families.values() for line in family.values()).encode()


class ScoreDrift:
    """How far the churn scores of late are from those the bundle began with: a moving mean of log-odds.

    The first `warm_up` scores set the reference, as a bundle does not carry its training scores; the gauge is 0 until
    then. Each later score moves the mean by 1/`memory`.
    """

    def __init__(self, *, warm_up: int = 500, memory: float = 500.0) -> None:
        self._warm_up, self._memory = warm_up, memory
        self._seen, self._mean, self._square, self._late = 0, 0.0, 0.0, 0.0

    def observe(self, probabilities: Any) -> float:
        """Takes scores f[B], each in (0, 1); returns the drift in standard deviations of the reference."""
        odds = np.asarray(probabilities, np.float64)
        for value in np.log(odds / (1 - odds)):
            self._take(float(value))
        if self._seen <= self._warm_up:
            return 0.0
        spread = math.sqrt(max(self._square / self._warm_up, 1e-12))
        return (self._late - self._mean) / spread

    def _take(self, value: float) -> None:
        self._seen += 1
        if self._seen <= self._warm_up:  # Welford's running mean and sum of squares
            before = self._mean
            self._mean += (value - before) / self._seen
            self._square += (value - before) * (value - self._mean)
            self._late = self._mean
        else:
            self._late += (value - self._late) / self._memory

"""Looking for the bundles that are to serve goes on whatever it meets, ever more slowly, and says so once."""

import asyncio
import io
import json
from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from retentionjax.errors import BundleError
from serving.engine.process import FIRST_SECONDS, LONGEST_SECONDS, follow
from serving.observability import logs
from serving.observability.metrics import Metrics


class StrangeError(Exception):
    """What a storage client raises when nobody expects it."""


def followed(outcomes: Sequence[Exception | None], metrics: Metrics) -> list[float]:
    """The pauses before each of `outcomes`, and the one after the last."""
    pauses: list[float] = []
    coming = iter(outcomes)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > len(outcomes):
            raise asyncio.CancelledError

    async def sync() -> None:
        if (error := next(coming)) is not None:
            raise error

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(follow(sync, metrics, sleep))
    return pauses


def failures(metrics: Metrics) -> dict[str, float]:
    return {
        sample.labels["error"]: sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
        if sample.name == "retentionjax_follow_failures_total"
    }


def test_a_bundle_that_does_not_load_is_tried_ever_more_rarely() -> None:
    pauses = followed([BundleError("damaged")] * 8 + [None, None], Metrics())
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60, 2, 2]
    assert (pauses[0], max(pauses)) == (FIRST_SECONDS, LONGEST_SECONDS)


def test_each_error_is_told_once_until_all_is_well_again() -> None:
    out, metrics = io.StringIO(), Metrics()
    logs.configure(stream=out)
    damaged = BundleError("damaged")
    followed([damaged, damaged, OSError("gone"), damaged, None, damaged], metrics)
    told = [(line["error"], line["level"]) for line in map(json.loads, out.getvalue().splitlines())]
    assert told == [("BundleError", "warning"), ("OSError", "warning"), ("BundleError", "warning")]
    assert failures(metrics) == {"BundleError": 4, "OSError": 1}


def test_an_error_nobody_expects_is_told_counted_and_not_the_end() -> None:
    out, metrics = io.StringIO(), Metrics()
    logs.configure(stream=out)
    assert followed([StrangeError("?"), None], metrics) == [2, 4, 2]
    (line,) = map(json.loads, out.getvalue().splitlines())
    assert (line["error"], line["level"]) == ("StrangeError", "error")
    assert failures(metrics) == {"StrangeError": 1}

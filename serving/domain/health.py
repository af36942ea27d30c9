"""`/healthz`, `/readyz` for anybody; `/metrics` for the role report, or anybody where a setting says so."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from serving.domain.campaigns import measured
from serving.ledger import LedgerUnavailable
from serving.observability import metrics
from serving.problems import responses
from serving.security.gate import requires

_LEDGER_SECONDS = 3.0  # a scraper waits for 10


class Alive(msgspec.Struct, frozen=True):
    """The process answers; that says nothing of its parts."""

    status: str = "alive"


class Readiness(msgspec.Struct, frozen=True):
    """Whether requests may be sent here."""

    ready: bool
    compiled: bool
    """Every batch size of the active bundle, by an engine that answered just now."""
    ledger_writes: bool
    """A transaction was written just now."""


@get("/healthz", operation_id="alive", summary="Is the process alive?", tags=["health"], security=[{}])
async def alive() -> Alive:
    """Liveness, for whoever restarts processes."""
    return Alive()


@get(
    "/readyz",
    operation_id="ready",
    summary="May requests be sent here?",
    tags=["health"],
    security=[{}],
    responses={503: ResponseSpec(Readiness, description="Not yet, or not now", generate_examples=False)},
)
async def ready(request: Request[Any, Any, Any]) -> Response[Readiness]:
    """Readiness, for load balancers; 503 until the engine answers, every batch size compiled, and the ledger takes
    writes."""
    state = request.app.state
    compiled = await state.engine.answers()
    writes = await state.probe.writes()
    found = Readiness(compiled and writes, compiled, writes)
    return Response(found, status_code=200 if found.ready else 503, media_type="application/json")


def exposed(*, open_to_all: bool) -> HTTPRouteHandler:
    """The handler of `/metrics`."""

    @get(
        "/metrics",
        operation_id="metrics",
        summary="Prometheus metrics",
        tags=["health"],
        guards=[] if open_to_all else [requires("report")],
        media_type="text/plain",
        responses={}
        if open_to_all
        else {key: value for key, value in responses().items() if key in (401, 403, 429, 503)},
    )
    async def exposition(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Metrics in Prometheus' text format."""
        state = request.app.state
        # Outcomes, expiry and other processes move a campaign's money too: only the ledger knows it. While it is silent
        # there is no figure, for one of before looks like one of now.
        found: Mapping[str, metrics.CampaignMetrics] = {}
        with contextlib.suppress(LedgerUnavailable, TimeoutError):
            async with asyncio.timeout(_LEDGER_SECONDS):
                found = await asyncio.to_thread(measured, state)
        state.metrics.campaigns(found)
        return Response(await state.engine.exposition(), media_type=metrics.CONTENT_TYPE)

    return exposition

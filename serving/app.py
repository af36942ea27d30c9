"""The application: its parts are made when it starts, closed when it stops, and found at `request.app.state`.

settings, clock, metrics    given or made here
ledger, gate, engine        opened by `_running`
probe                       whether the ledger takes writes
side_work, judging, lifts   what takes long: what-ifs and explanations; the shield on wordings; lifts
exports                     and campaigns as files
scans                       how many may look at all contacts of a campaign at a time
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from litestar import Litestar, Request, Response, route
from litestar.enums import HttpMethod
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler

from serving import openapi
from serving.console import console_router
from serving.console.frame import on_http
from serving.console.sessions import Sessions
from serving.domain.bundles import KILL_SWITCH, activate_bundle, list_bundles, put_switch, read_switch
from serving.domain.campaigns import CAMPAIGN, list_campaigns, put_campaign, read_campaign, read_lift
from serving.domain.contacts import Webhook, list_due, report_sent
from serving.domain.customers import CONSENT, put_consent, read_consent, read_ledger
from serving.domain.decisions.controllers import EXPRESS, decisions_router
from serving.domain.decisions.explaining import warm
from serving.domain.health import alive, exposed, ready
from serving.domain.outcomes import report
from serving.domain.variants import decide_variant, list_variants, propose_variants
from serving.engine import Engine
from serving.express import Express, StrictRequest, of_api, secured
from serving.housekeeping import Housekeeping, Probe
from serving.ledger import Ledger, LedgerUnavailable
from serving.ledger.types import Clock
from serving.observability import tracing
from serving.observability.metrics import Metrics
from serving.observability.tracing import Timed
from serving.problems import Problem, ledger_unavailable, on_exception, on_http_exception, problem_response
from serving.security.bodies import BODY_LIMIT
from serving.security.gate import Gate
from serving.settings import Settings
from serving.side_work import LONG_SECONDS, MOST_SCANS, SideWork

_log = structlog.get_logger("serving.app")
_THREADS = 32
_EXPORT_SECONDS = 600.0  # a campaign of 20,000 customers takes a second of CPU to write as files


def create_app(
    settings: Settings,
    *,
    clock: Clock = time.time,
    engine: Callable[[Settings, Metrics], Engine] = Engine,
) -> Litestar:
    """The service by `settings`. `clock` gives UTC epoch seconds, and `engine` one that keeps the same time."""
    metrics = Metrics()
    traces = tracing.from_environment()
    app = Express(
        route_handlers=_handlers(settings),
        lifespan=[_running],
        middleware=[Timed(metrics), *([traces.middleware] if traces else [])],
        before_send=[secured(behind_tls=settings.secure_cookies)],
        exception_handlers={
            Problem: problem_response,
            HTTPException: _on_http_exception,
            LedgerUnavailable: _on_ledger_unavailable,
            Exception: on_exception,
        },
        openapi_config=openapi.config(),
        request_class=StrictRequest,
        request_max_body_size=BODY_LIMIT,
        logging_config=None,
    )
    headers = of_api(behind_tls=settings.secure_cookies)
    app.express(EXPRESS, metrics, headers, traces.middleware if traces else None)
    app.state.update({"settings": settings, "clock": clock, "metrics": metrics, "tracing": traces})
    app.state["make_engine"] = engine
    return app


def _handlers(settings: Settings) -> list[ControllerRouterHandler]:
    return [
        # First, or Litestar makes its own, which know the first method of an address only.
        *(_allows(path, "GET", "PUT") for path in (CAMPAIGN, CONSENT, KILL_SWITCH)),
        decisions_router,
        report,
        list_due,
        list_variants,
        propose_variants,
        decide_variant,
        report_sent,
        read_consent,
        put_consent,
        read_ledger,
        list_campaigns,
        read_campaign,
        put_campaign,
        read_lift,
        list_bundles,
        activate_bundle,
        read_switch,
        put_switch,
        alive,
        ready,
        exposed(open_to_all=settings.open_metrics),
        console_router,
    ]


def _allows(path: str, *methods: str) -> HTTPRouteHandler:
    """OPTIONS of an address that has several methods."""

    @route(path, http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
    async def options() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": ", ".join((*methods, "OPTIONS"))})

    return options


@contextlib.asynccontextmanager
async def _running(app: Litestar) -> AsyncIterator[None]:
    """Opens the ledger, makes the engine ready, closes both after the last decision under way."""
    state, settings = app.state, app.state.settings
    # They wait for the disk and for each other's transactions, not for the processor: a few would soon be all taken.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "ledger"))
    ledger = await asyncio.to_thread(lambda: Ledger.open(settings.database, clock=state.clock))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, ledger.close)
        gate = Gate(
            lambda token: ledger.ask(lambda view: view.authenticate(token)),
            rate=settings.rate,
            burst=settings.rate_burst,
            cache_seconds=settings.key_cache_seconds,
        )
        engine = state.make_engine(settings, state.metrics)
        sessions = Sessions(settings.console_secret, ledger, seconds=settings.session_hours * 3600)
        side_work, lifts = SideWork(), SideWork(LONG_SECONDS, "lifts")
        judging, exports = SideWork(LONG_SECONDS, "judgements of wordings"), SideWork(_EXPORT_SECONDS, "downloads")
        for each in (side_work, judging, lifts, exports):
            stack.callback(each.close)
        state.update({"ledger": ledger, "gate": gate, "engine": engine, "sessions": sessions})
        state.update({"probe": Probe(ledger), "side_work": side_work, "judging": judging, "lifts": lifts})
        state.update({"exports": exports, "scans": asyncio.Semaphore(MOST_SCANS)})
        await engine.start()
        stack.push_async_callback(engine.drain)
        keeper = asyncio.create_task(Housekeeping(ledger, gate, settings, state.metrics).run())
        stack.callback(keeper.cancel)
        if settings.webhook:
            posting = asyncio.create_task(Webhook(state).run())
            stack.callback(posting.cancel)
        warming = asyncio.create_task(asyncio.to_thread(warm, engine.active))
        warming.add_done_callback(_warmed)
        stack.callback(warming.cancel)
        if state.tracing:
            stack.push_async_callback(asyncio.to_thread, state.tracing.close)
        _log.info("ready", workers=settings.workers)
        yield
        _log.info("draining")


def _warmed(warming: "asyncio.Task[None]") -> None:
    if not warming.cancelled() and (error := warming.exception()) is not None:
        _log.warning("explanations are not compiled yet: the first one will take its time", error=str(error))


def _on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Addresses and methods that there are not belong to no router: those of the console are answered with a page."""
    return (on_http if request.url.path.startswith("/console") else on_http_exception)(request, error)


def _on_ledger_unavailable(request: Request[Any, Any, Any], error: LedgerUnavailable) -> Response[bytes]:
    return problem_response(request, ledger_unavailable(error))

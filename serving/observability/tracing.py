"""OpenTelemetry, for those who ask for it with OTEL_EXPORTER_OTLP_ENDPOINT; without it nothing is imported or done.

One span a request, child of the caller's `traceparent`. Spans carry the address as a template, the method and the
status: no customer, no key, no body.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

import retentionjax
from serving.observability.metrics import Metrics


class Timed:
    """`Timed(metrics)` is a factory of Litestar's middleware."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Wraps `app`."""
        observe = self._metrics.request

        async def timed(scope: Any, receive: Receive, send: Send) -> None:
            start, status = time.perf_counter(), 500

            async def send_and_note(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, send_and_note)
            finally:
                observe(scope["path_template"], status, time.perf_counter() - start)

        return timed


ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Tracing:
    """Makes spans and sends them; `close` sends the last ones."""

    def __init__(self, exporter: Any = None) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter()
        resource = Resource.create({"service.name": "retentionjax", "service.version": retentionjax.__version__})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("serving")

    def close(self) -> None:
        """Sends what is left and stops."""
        self._provider.shutdown()

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Litestar's middleware: one server span a request."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, StatusCode

        async def traced(scope: Any, receive: Receive, send: Send) -> None:
            parent = extract({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]})
            name = f"{scope['method']} {scope['path_template']}"
            with self.tracer.start_as_current_span(name, parent, kind=SpanKind.SERVER) as span:
                span.set_attribute("http.request.method", scope["method"])
                span.set_attribute("http.route", scope["path_template"])

                async def send_and_note(message: Any) -> None:
                    if message["type"] == "http.response.start":
                        span.set_attribute("http.response.status_code", message["status"])
                        if message["status"] >= 500:
                            span.set_status(StatusCode.ERROR)
                    await send(message)

                await app(scope, receive, send_and_note)

        return traced


def from_environment(environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """Tracing if the environment names an endpoint."""
    return Tracing() if environment.get(ENDPOINT) else None

"""Traces: one span a request, child of the caller's, with nothing about customers; nothing at all unless asked for."""

import subprocess
import sys

from litestar import Litestar, get
from litestar.testing import TestClient
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serving.fields import CustomerInPath
from serving.observability import tracing


@get("/v1/customers/{customer_id:str}/ledger")
async def handler(customer_id: CustomerInPath) -> str:
    return customer_id


def test_a_span_says_the_route_and_no_customer() -> None:
    exporter = InMemorySpanExporter()
    traces = tracing.Tracing(exporter)
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with TestClient(Litestar([handler], middleware=[traces.middleware], openapi_config=None)) as client:
        client.get("/v1/customers/maria/ledger", headers={"traceparent": parent})
    traces.close()
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /v1/customers/{customer_id}/ledger"
    assert span.context.trace_id == 0x4BF92F3577B34DA6A3CE929D0E0E4736
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/customers/{customer_id}/ledger",
        "http.response.status_code": 200,
    }


def test_without_an_endpoint_nothing_is_imported() -> None:
    assert tracing.from_environment({}) is None
    code = "import sys, serving.observability.tracing; assert not any('opentelemetry' in name for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

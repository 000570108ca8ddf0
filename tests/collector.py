"""A real receiver of OpenTelemetry's protocol (OTLP over HTTP) on loopback, which keeps the spans that it is sent."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Collector", "Received", "collector"]


class Received(NamedTuple):
    """One span: ids in hexadecimal, ``parent`` "" for none, times in nanoseconds, attributes of it and its process."""

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    fields: dict[str, Any]
    process: dict[str, Any]
    is_error: bool


class Collector:
    """What has been received."""

    def __init__(self, port: int) -> None:
        self.variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        self.spans: list[Received] = []

    def named(self, name: str, trace: str = "") -> list[Received]:
        """Return the spans of a name, of one trace or of any."""
        return [span for span in self.spans if span.name == name and trace in ("", span.trace)]

    def take(self, body: bytes) -> None:
        """Keep what one request brings."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            process = _values(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_received(span, process) for span in scope.spans]


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """Receive until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def _received(span: Any, process: dict[str, Any]) -> Received:
    return Received(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        fields=_values(span.attributes),
        process=process,
        is_error=span.status.code == 2,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}

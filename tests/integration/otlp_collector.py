"""An OTLP collector in memory: what an exporter posts over HTTP is decoded and kept."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class CollectedSpan(NamedTuple):
    """A span as it came."""

    scope: str
    name: str
    trace: bytes
    id: bytes
    parent: bytes
    links: tuple[bytes, ...]
    attributes: dict[str, Any]


class Collector:
    """`with Collector() as collector:` an exporter's endpoint is `collector.url`."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.metrics: set[str] = set()  # their names
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path.endswith("/metrics"):
                    collector.metrics.update(_metrics(body))
                else:
                    collector.spans.extend(_spans(body))
                # That of metrics is the same: nothing, where all was taken.
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, end: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _metrics(body: bytes) -> set[str]:
    request = ExportMetricsServiceRequest()
    request.ParseFromString(body)
    of_scopes = (scope for resource in request.resource_metrics for scope in resource.scope_metrics)
    return {metric.name for scope in of_scopes for metric in scope.metrics}


def _spans(body: bytes) -> list[CollectedSpan]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return [
        CollectedSpan(
            scope=scope.scope.name,
            name=span.name,
            trace=span.trace_id,
            id=span.span_id,
            parent=span.parent_span_id,
            links=tuple(link.span_id for link in span.links),
            attributes={one.key: one.value.string_value or one.value.int_value for one in span.attributes},
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]

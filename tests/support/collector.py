"""An OpenTelemetry collector: takes spans by OTLP over HTTP and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One span and who sent it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]
    seconds: float
    raw: Span = field(repr=False)


class Collector:
    """What has arrived."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._spans: list[Received] = []
        self._lock = threading.Lock()

    def take(self, body: bytes) -> None:
        """Keep what one request holds."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    with self._lock:
                        self._spans.append(_received(named["service.name"], span))

    @property
    def spans(self) -> list[Received]:
        """Everything until now."""
        with self._lock:
            return list(self._spans)

    def trace(self, trace_id: str) -> list[Received]:
        """The spans of one trace, in order of their beginning."""
        found = [span for span in self.spans if span.trace_id == trace_id]
        return sorted(found, key=lambda span: span.raw.start_time_unix_nano)


@contextmanager
def collector() -> Iterator[Collector]:
    """Listen on a free loopback port for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            kept.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _received(service: str, span: Span) -> Received:
    attributes = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        attributes[pair.key] = str(getattr(pair.value, kind)) if kind else ""
    return Received(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=attributes,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        raw=span,
    )

"""Logs, metrics and traces, the same for every service.

Logs are one JSON object a line on stderr: time, level, service, message, the ids of the work
at hand (`search_id`, `batch_id`, `trace_id`) and whatever `extra` holds. Metrics are
Prometheus, served at `/metrics` by the client library's own server thread. Traces are in
`tracing`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from wsgiref.simple_server import WSGIServer

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from rstar_common.config import TelemetrySettings
from rstar_common.lifecycle import Component
from rstar_common.net import split_address
from rstar_common.trace_export import start_tracing
from rstar_common.tracing import log_fields

RPC_SECONDS = Histogram(
    "rstar_rpc_seconds", "Duration of served calls.", ["method", "code"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
)  # fmt: skip
RPC_INFLIGHT = Gauge("rstar_rpc_inflight", "Calls being served.", ["method"])
RPC_REFUSED = Counter("rstar_rpc_refused_total", "Calls refused because we were full.", ["method"])

PORT_SECONDS = 1.0
"""How long until a port that is taken is tried again."""

logger = logging.getLogger(__name__)

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **log_fields(),
        }
        entry |= {k: v for k, v in vars(record).items() if k not in _STANDARD_FIELDS}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def setup_logging(service: str, settings: TelemetrySettings) -> None:
    """Send every logger's records to stderr as JSON, spans to the collector if there is one.

    Called once, from `main()`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    start_tracing(service, settings)


def metrics_server(settings: TelemetrySettings) -> Component:
    """Build the component that serves `/metrics`."""

    async def run(stop: asyncio.Event) -> None:
        if not settings.metrics_address:
            await stop.wait()
            return
        host, port = split_address(settings.metrics_address, field="telemetry.metrics_address")
        started = await _started(host, port, stop)
        if started is None:
            return
        server, thread = started
        logger.info("metrics", extra={"port": server.server_port})
        try:
            await stop.wait()
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    return run


async def _started(
    host: str, port: int, stop: asyncio.Event
) -> tuple[WSGIServer, threading.Thread] | None:
    """The server and its thread; None if we are to stop before the port is free.

    A process that replaces another comes up while that one still serves its metrics.
    """
    while not stop.is_set():
        try:
            return start_http_server(port, host)
        except OSError as error:
            logger.warning("metrics: %s:%d: %s", host, port, error)
        with suppress(TimeoutError):
            async with asyncio.timeout(PORT_SECONDS):
                await stop.wait()
    return None


@contextmanager
def timed_rpc(method: str) -> Iterator[list[str]]:
    """Record one served call; the body sets the status code in the yielded cell."""
    code = ["OK"]
    started = time.perf_counter()
    RPC_INFLIGHT.labels(method).inc()
    try:
        yield code
    finally:
        RPC_INFLIGHT.labels(method).dec()
        RPC_SECONDS.labels(method, code[0]).observe(time.perf_counter() - started)
        if code[0] == "RESOURCE_EXHAUSTED":
            RPC_REFUSED.labels(method).inc()

"""Where spans go: by OTLP over HTTP to a collector, if one is named.

`telemetry.traces_endpoint` names it, or the standard OTEL_EXPORTER_OTLP_ENDPOINT; other variables
of the standard count too, OTEL_TRACES_SAMPLER among them.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

from rstar_common.config import TelemetrySettings
from rstar_common.tracing import trace_to

EXPORT_SECONDS = 3.0
"""Longest a collector that does not answer holds up a service that ends."""

_NAMES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def start_tracing(service: str, settings: TelemetrySettings) -> None:
    """Send spans to the collector that settings or environment name, if one is. Called once."""
    endpoint = settings.traces_endpoint
    if not endpoint and not any(os.environ.get(name) for name in _NAMES):
        return
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # A collector that is away is said once a batch, not once an attempt.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
    instance = f"{socket.gethostname()}:{os.getpid()}"
    resource = Resource.create(
        {"service.name": f"rstar-{service}", "service.instance.id": instance}
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace_to(provider)

    def end() -> None:
        impatience = threading.Timer(EXPORT_SECONDS, exporter.shutdown)
        impatience.start()
        provider.shutdown()
        impatience.cancel()

    _endings.append(end)


def stop_tracing() -> None:
    """Send what is left, for `EXPORT_SECONDS` at most."""
    trace_to(None)
    while _endings:
        _endings.pop()()


_endings: list[Callable[[], None]] = []

"""One trace a problem, whichever services and queues it passes; its ids in every log line.

Spans travel as W3C `traceparent`, in gRPC metadata and NATS headers, and go to a collector if one
is named (`trace_export`). Without it a span costs a comparison, and nothing of OpenTelemetry is
imported.

A span holds ids, counts, lengths and versions; never a question, a step, an answer or the words
of an error: a collector has more readers than the trees have.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rstar_common.errors import RstarError

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

Value = str | int | float | bool

SEARCH_ID_KEY = "rstar-search-id"
"""gRPC metadata: the search on whose behalf a call is made, for the logs of who serves it."""

_ID = re.compile(r"[A-Za-z0-9._/:-]{1,128}")


class Span(Protocol):
    """A stretch of work; `with` begins and ends it. An exception marks it, by its class alone."""

    def set(self, **attributes: Value) -> None:
        """Tell more about it."""

    def fail(self, kind: str) -> None:
        """Mark it as failed."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""


def span(name: str, **attributes: Value) -> Span:
    """A part of what is traced now; nothing where nothing is."""
    if _tracer is None or _CURRENT.get() is None:
        return _NOTHING
    return _Live(_tracer.start_span(name, context=_here(), attributes=attributes))


def new_trace(name: str, **attributes: Value) -> Span:
    """The beginning of a trace of its own, which only refers to what is under way."""
    if _tracer is None:
        return _NOTHING
    from opentelemetry import trace
    from opentelemetry.context import Context

    before = _CURRENT.get()
    links = [trace.Link(before.context)] if before else []
    return _Live(_tracer.start_span(name, context=Context(), attributes=attributes, links=links))


def continued(name: str, carrier: Mapping[str, str], **attributes: Value) -> Span:
    """What another process asked for: `carrier` holds its `headers`."""
    if _tracer is None:
        return _NOTHING
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    there = TraceContextTextMapPropagator().extract(carrier, context=Context())
    kind = trace.SpanKind.SERVER
    return _Live(_tracer.start_span(name, context=there, kind=kind, attributes=attributes))


def waited(name: str, since_seconds: float) -> None:
    """A part of what is traced now that is just over; it began so long after the epoch."""
    if _tracer is not None and _CURRENT.get() is not None:
        _tracer.start_span(name, context=_here(), start_time=int(since_seconds * 1e9)).end()


def headers() -> dict[str, str]:
    """What to send along so that `continued` can go on elsewhere; empty without a trace."""
    current = _CURRENT.get()
    if current is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context=_here())
    return carrier


def call_metadata(search_id: str) -> tuple[tuple[str, str], ...]:
    """GRPC metadata of a call on behalf of a search."""
    return ((SEARCH_ID_KEY, search_id), *headers().items())


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """Every log line of the block carries these ids; what is empty or no id is left out."""
    before = _IDS.get()
    _IDS.set({**before, **{key: value for key, value in ids.items() if _ID.fullmatch(value)}})
    try:
        yield
    finally:
        _IDS.set(before)


def log_fields() -> dict[str, str]:
    """What a log line says of the work it belongs to."""
    fields = dict(_IDS.get())
    if current := _CURRENT.get():
        fields["trace_id"] = f"{current.context.trace_id:032x}"
    return fields


def trace_to(provider: TracerProvider | None) -> None:
    """Send this process's spans to a provider from now on; None ends that."""
    global _tracer
    _tracer = provider.get_tracer("rstar") if provider else None


class _Live:
    """A span that is recorded, or at least handed on."""

    __slots__ = ("_before", "_failed", "_span")

    def __init__(self, started: trace.Span) -> None:
        self._span = started
        self._before: _Live | None = None
        self._failed = False

    @property
    def context(self) -> trace.SpanContext:
        """Its ids."""
        return self._span.get_span_context()

    @property
    def span(self) -> trace.Span:
        """OpenTelemetry's own."""
        return self._span

    def set(self, **attributes: Value) -> None:
        self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._failed = True
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, kind))

    def __enter__(self) -> Self:
        self._before = _CURRENT.get()
        _CURRENT.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Set, not reset: an abandoned stream is closed by another task, in another context.
        _CURRENT.set(self._before)
        if kind and issubclass(kind, asyncio.CancelledError | GeneratorExit):
            self._span.set_attribute("cancelled", True)
        elif kind and not self._failed:
            self.fail(kind.__name__ if issubclass(kind, RstarError) else f"bug: {kind.__name__}")
        self._span.end()


class _Nothing:
    """A span when there is no collector."""

    __slots__ = ()

    def set(self, **attributes: Value) -> None: ...

    def fail(self, kind: str) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def _here() -> Context:
    from opentelemetry import trace
    from opentelemetry.context import Context

    current = _CURRENT.get()
    return trace.set_span_in_context(current.span, Context()) if current else Context()


_NOTHING = _Nothing()
_tracer: trace.Tracer | None = None
_CURRENT: ContextVar[_Live | None] = ContextVar("rstar_span", default=None)
_IDS: ContextVar[Mapping[str, str]] = ContextVar("rstar_ids", default=MappingProxyType({}))

"""The asynchronous client: searches that survive a lost connection, batches, and their results.

A search is given an idempotency key, the caller's or one of its own, so that a call made
again joins the search that runs instead of starting a second one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, types_pb2
from rstar_client import wire
from rstar_client.batches import Batches
from rstar_client.connection import Connection
from rstar_client.errors import Unavailable
from rstar_client.retry import RetryPolicy
from rstar_client.values import Event, Finished, Result, SearchState, Settings, Started

if TYPE_CHECKING:
    from rstar_client.connection import StreamAttempt

_ENDS_ONLY_SECONDS = 3600.0
"""As interval between events: `solve` wants the first one and the last."""

_GOODBYE_SECONDS = 2.0


class AsyncClient:
    """One searcher, or a load balancer before many.

    Use as `async with AsyncClient("host:port") as client`. `nats_url` is needed only to
    submit batches; credentials may be part of it.
    """

    def __init__(
        self,
        address: str,
        *,
        nats_url: str = "",
        retry: RetryPolicy | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        rng: Random | None = None,
    ) -> None:
        self._connection = Connection(
            address,
            retry=retry or RetryPolicy(),
            rng=rng or Random(),
            credentials=credentials,
        )
        self._searcher = searcher_pb2_grpc.SearcherServiceStub(self._connection.channel)
        self.batches = Batches(self._connection, nats_url=nats_url)
        self._owed: dict[str, asyncio.Lock] = {}
        """Searches that end when nobody reads them. A stream that is left unclosed ends at some
        later time, too late for a call: `close` ends its search."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Searches with a caller's own key go on, all others end."""
        try:
            await asyncio.gather(*map(self._say_goodbye, list(self._owed)))
        finally:
            await self._connection.close()

    async def solve(
        self,
        question: str,
        settings: Settings | None = None,
        *,
        idempotency_key: str = "",
        timeout_seconds: float | None = None,
    ) -> Result:
        """Search one problem to its end; as `solve_stream`, without what happens meanwhile.

        Raises:
            RstarError: by class, what went wrong.
        """
        events = self.solve_stream(
            question,
            settings,
            idempotency_key=idempotency_key,
            timeout_seconds=timeout_seconds,
            min_interval_seconds=_ENDS_ONLY_SECONDS,
        )
        return await _last(events)

    async def solve_stream(
        self,
        question: str,
        settings: Settings | None = None,
        *,
        idempotency_key: str = "",
        timeout_seconds: float | None = None,
        min_interval_seconds: float = 0.0,
    ) -> AsyncGenerator[Event]:
        """Search one problem and tell what happens; the last event is `Finished`.

        Who stops reading ends the search, unless it has a key of the caller's own: that one
        can be read on by a call with the same key. `timeout_seconds` bounds the search.

        Raises:
            RstarError: by class, what went wrong.
        """
        request = searcher_pb2.SolveRequest(
            problem=types_pb2.Problem(question=question),
            settings=wire.settings_to(settings or Settings()),
            idempotency_key=idempotency_key or f"client-{uuid.uuid4().hex}",
        )
        _set_interval(request, min_interval_seconds)
        search_id = ""
        try:
            events = self._events(
                lambda seconds: self._searcher.SolveStream(request, timeout=seconds),
                seconds=timeout_seconds,
            )
            async with aclosing(events):
                async for event in events:
                    if event.search_id != search_id:  # the first, or that of a search begun anew
                        self._owed.pop(search_id, None)
                        search_id = event.search_id
                        if not idempotency_key:
                            self._owed[search_id] = asyncio.Lock()
                    if isinstance(event, Finished):
                        self._owed.pop(search_id, None)
                    yield event
        finally:
            await self._say_goodbye(search_id)

    async def attach(
        self,
        search_id: str,
        *,
        timeout_seconds: float | None = None,
        min_interval_seconds: float = 0.0,
    ) -> AsyncGenerator[Event]:
        """Follow a search that runs, or read the end of one that does not. Leaving ends nothing.

        Raises:
            NotFound: no such search.
            RstarError: by class, what went wrong.
        """
        request = searcher_pb2.AttachSearchRequest(search_id=search_id)
        _set_interval(request, min_interval_seconds)
        events = self._events(
            lambda seconds: self._searcher.AttachSearch(request, timeout=seconds),
            seconds=timeout_seconds,
        )
        async with aclosing(events):
            async for event in events:
                yield event

    async def get(self, search_id: str = "", *, idempotency_key: str = "") -> SearchState:
        """State of a search by its id or its key.

        Raises:
            NotFound: no such search.
        """
        request = (
            searcher_pb2.GetSearchRequest(search_id=search_id)
            if search_id
            else searcher_pb2.GetSearchRequest(idempotency_key=idempotency_key)
        )
        reply = await self._connection.call(
            lambda seconds: self._searcher.GetSearch(request, timeout=seconds)
        )
        return wire.state_from(reply)

    async def cancel(self, search_id: str) -> bool:
        """End a search with the best answer so far; False when it had ended.

        Raises:
            NotFound: no such search.
        """
        request = searcher_pb2.CancelSearchRequest(search_id=search_id)
        reply = await self._connection.call(
            lambda seconds: self._searcher.CancelSearch(request, timeout=seconds)
        )
        return reply.cancelled

    async def _events(
        self,
        attempt: StreamAttempt[searcher_pb2.SearchEvent],
        *,
        seconds: float | None,
    ) -> AsyncGenerator[Event]:
        """Events in order and each once, over as many connections as it takes."""
        started, seen = False, 0
        messages = self._connection.stream(attempt, seconds=seconds)
        async with aclosing(messages):
            async for message in messages:
                event = wire.event_from(message)
                if isinstance(event, Finished):
                    yield event
                    return
                if isinstance(event, Started):
                    # Each connection begins with one, at the number where its search now is: one
                    # that was begun anew by another searcher counts anew.
                    first, started, seen = not started, True, event.sequence
                    if first:
                        yield event
                elif event and event.sequence > seen:
                    seen = event.sequence
                    yield event
        raise Unavailable("the search's events ended without its result")

    async def _say_goodbye(self, search_id: str) -> None:
        """Nobody will ask for this search again: free what it holds, unless that is done."""
        saying = self._owed.get(search_id)
        if saying is None:
            return
        # Who leaves a stream and at once closes the client does both at a time: the second waits.
        async with saying:
            if search_id not in self._owed or self._connection.closed:
                return
            request = searcher_pb2.CancelSearchRequest(search_id=search_id)
            with suppress(grpc.aio.AioRpcError):
                await self._searcher.CancelSearch(request, timeout=_GOODBYE_SECONDS)
            self._owed.pop(search_id, None)


async def _last(events: AsyncGenerator[Event]) -> Result:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Finished):
                return event.result
    raise Unavailable("the search's events ended without its result")


def _set_interval(
    request: searcher_pb2.SolveRequest | searcher_pb2.AttachSearchRequest, seconds: float
) -> None:
    if seconds > 0:
        request.min_event_interval.FromMilliseconds(int(seconds * 1000))

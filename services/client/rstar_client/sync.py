"""The same client for code without an event loop.

It runs the asynchronous one in a loop of its own, in the caller's thread and only while a
call lasts: no thread, no second implementation. One client belongs to one thread; inside a
running event loop use `AsyncClient`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from rstar_client.batches import Batches
from rstar_client.client import AsyncClient
from rstar_client.retry import RetryPolicy
from rstar_client.values import Batch, BatchResult, Event, Problem, Result, SearchState, Settings

ValueT = TypeVar("ValueT")


class Client:
    """One searcher, or a load balancer before many. Use as `with Client("host:port")`."""

    def __init__(
        self,
        address: str,
        *,
        nats_url: str = "",
        retry: RetryPolicy | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        rng: Random | None = None,
    ) -> None:
        async def connect() -> AsyncClient:  # a channel belongs to the loop it is made in
            return AsyncClient(
                address, nats_url=nats_url, retry=retry, credentials=credentials, rng=rng
            )

        self._loop = _Loop()
        self._client = self._loop.run(connect())
        self.batches = SyncBatches(self._client.batches, self._loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Searches with a caller's own key go on, all others end."""
        self._loop.run(self._client.close())
        self._loop.close()

    def solve(
        self,
        question: str,
        settings: Settings | None = None,
        *,
        idempotency_key: str = "",
        timeout_seconds: float | None = None,
    ) -> Result:
        """See `AsyncClient.solve`."""
        return self._loop.run(
            self._client.solve(
                question,
                settings,
                idempotency_key=idempotency_key,
                timeout_seconds=timeout_seconds,
            )
        )

    def solve_stream(
        self,
        question: str,
        settings: Settings | None = None,
        *,
        idempotency_key: str = "",
        timeout_seconds: float | None = None,
        min_interval_seconds: float = 0.0,
    ) -> Iterator[Event]:
        """See `AsyncClient.solve_stream`."""
        events = self._client.solve_stream(
            question,
            settings,
            idempotency_key=idempotency_key,
            timeout_seconds=timeout_seconds,
            min_interval_seconds=min_interval_seconds,
        )
        return _iterated(self._loop, events)

    def attach(
        self,
        search_id: str,
        *,
        timeout_seconds: float | None = None,
        min_interval_seconds: float = 0.0,
    ) -> Iterator[Event]:
        """See `AsyncClient.attach`."""
        events = self._client.attach(
            search_id, timeout_seconds=timeout_seconds, min_interval_seconds=min_interval_seconds
        )
        return _iterated(self._loop, events)

    def get(self, search_id: str = "", *, idempotency_key: str = "") -> SearchState:
        """See `AsyncClient.get`."""
        return self._loop.run(self._client.get(search_id, idempotency_key=idempotency_key))

    def cancel(self, search_id: str) -> bool:
        """See `AsyncClient.cancel`."""
        return self._loop.run(self._client.cancel(search_id))


class SyncBatches:
    """See `Batches`."""

    def __init__(self, batches: Batches, loop: _Loop) -> None:
        self._batches = batches
        self._loop = loop

    def submit(
        self, batch_id: str, problems: Sequence[Problem], settings: Settings | None = None
    ) -> None:
        """See `Batches.submit`."""
        self._run(self._batches.submit(batch_id, problems, settings))

    def get(self, batch_id: str) -> Batch:
        """See `Batches.get`."""
        return self._run(self._batches.get(batch_id))

    def results(self, batch_id: str) -> Iterator[BatchResult]:
        """See `Batches.results`."""
        return _iterated(self._loop, self._batches.results(batch_id))

    def pause(self, batch_id: str) -> Batch:
        """See `Batches.pause`."""
        return self._run(self._batches.pause(batch_id))

    def resume(self, batch_id: str) -> Batch:
        """See `Batches.resume`."""
        return self._run(self._batches.resume(batch_id))

    def cancel(self, batch_id: str) -> Batch:
        """See `Batches.cancel`."""
        return self._run(self._batches.cancel(batch_id))

    def _run(self, work: Coroutine[Any, Any, ValueT]) -> ValueT:
        return self._loop.run(work)


class _Loop:
    """A loop to run calls in, which one can ask whether it is closed."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.closed = False

    def run(self, work: Coroutine[Any, Any, ValueT]) -> ValueT:
        return self._runner.run(work)

    def close(self) -> None:
        self.closed = True
        self._runner.close()


def _iterated(loop: _Loop, values: AsyncGenerator[ValueT]) -> Iterator[ValueT]:
    async def following() -> tuple[ValueT] | None:
        async for value in values:
            return (value,)
        return None

    try:
        while (value := loop.run(following())) is not None:
            yield value[0]
    finally:
        if not loop.closed:  # which ends what was left
            loop.run(values.aclose())

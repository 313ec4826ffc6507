"""One channel, and calls on it that are made again while that can help.

A call is made again only when it is harmless to do so: every RPC of the searcher either
reads, is idempotent, or carries an idempotency key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import grpc

from rstar_client.errors import DeadlineExceeded, RstarError, error_of
from rstar_client.retry import RetryPolicy

ReplyT = TypeVar("ReplyT")

if TYPE_CHECKING:  # at run time grpc's classes take no parameters
    StreamAttempt: TypeAlias = Callable[[float | None], grpc.aio.UnaryStreamCall[Any, ReplyT]]

CALL_SECONDS = 30.0
"""For calls that only read or mark; a search has a deadline of its own."""

_OPTIONS = [
    ("grpc.max_receive_message_length", 64 * 2**20),
    # A search may take minutes: whether the searcher is there is asked all the while. By default
    # gRPC asks twice a call and never again. 1.85 never arms its `keepalive_timeout_ms`.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A service that is back after a restart is found within a second, not after two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


class Connection:
    """A channel to one address, with its patience."""

    def __init__(
        self,
        address: str,
        *,
        retry: RetryPolicy,
        rng: Random,
        credentials: grpc.ChannelCredentials | None,
    ) -> None:
        self._retry = retry
        self._rng = rng
        self.closed = False
        """Whether calls have become impossible."""
        self.channel = (
            grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(address, options=_OPTIONS)
        )

    async def close(self) -> None:
        """Give the channel back."""
        self.closed = True
        await self.channel.close()

    async def call(self, attempt: Callable[[float], Awaitable[ReplyT]]) -> ReplyT:
        """The reply of a unary call; `attempt` is given the seconds it may take.

        Raises:
            RstarError: the last failure, when trying again cannot help or did not.
        """
        until = time.monotonic() + CALL_SECONDS
        failures = 0
        while True:
            try:
                return await attempt(_left(until))
            except grpc.aio.AioRpcError as failed:
                failures += 1
                await self.wait(error_of(failed), failures, until)

    async def stream(
        self, attempt: StreamAttempt[ReplyT], *, seconds: float | None
    ) -> AsyncGenerator[ReplyT]:
        """Replies of a stream; when it breaks, those of the next attempt.

        Raises:
            RstarError: as `call`; every reply makes it patient anew.
        """
        until = time.monotonic() + seconds if seconds is not None else None
        failures = 0
        while True:
            stream = attempt(_left(until) if until is not None else None)
            try:
                async for reply in stream:
                    failures = 0
                    yield reply
                return
            except grpc.aio.AioRpcError as failed:
                failures += 1
                await self.wait(error_of(failed), failures, until)
            finally:
                stream.cancel()  # nothing, if it has ended

    async def wait(self, error: RstarError, failures: int, until: float | None) -> None:
        """Wait until a call may be made again, or raise why it may not."""
        pause = self._retry.pause(error, failures, self._rng)
        if pause is None or (until is not None and time.monotonic() + pause >= until):
            raise error
        await asyncio.sleep(pause)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("the time given to the call has passed")
    return left

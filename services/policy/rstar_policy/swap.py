"""Generations run side by side; a change of weights runs alone.

`SwapGate` is the order between the two: closing it holds new generations back, lets the
running ones finish for a while, and then has its caller abort the rest, which are sampled
again once it opens. No call fails because of a swap, and no sample mixes two versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

ABORT_AGAIN_SECONDS = 0.5


class SwapGate:
    """Many generations, or one swap."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = 0

    @property
    def closed(self) -> bool:
        """Whether a swap is going on."""
        return not self._open.is_set()

    @asynccontextmanager
    async def generating(self) -> AsyncGenerator[None]:
        """Wait for the end of a swap, then hold off the next one."""
        # The next swap may begin between the event and our turn on the loop: look again.
        while self.closed:
            await self._open.wait()
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if self._running == 0:
                self._idle.set()

    async def close(self, *, drain_seconds: float, abort: Callable[[], Awaitable[None]]) -> None:
        """Hold new generations back; return when none runs. After `drain_seconds`, `abort`."""
        assert not self.closed, "two swaps at once"
        self._open.clear()
        patience = drain_seconds
        while self._running:
            try:
                async with asyncio.timeout(patience):
                    await self._idle.wait()
            except TimeoutError:
                await abort()
                # An abort can overtake a request on its way to the engine: ask again.
                patience = ABORT_AGAIN_SECONDS

    def open(self) -> None:
        """Let generations run. Does no harm on an open gate."""
        self._open.set()

"""How many calls of one service may be in flight from this process: as many as it takes.

A service that is full refuses (RESOURCE_EXHAUSTED) rather than queue. The window halves on a
refusal and grows by one call a round of answers (additive increase, multiplicative decrease);
until the first refusal by one an answer. Between two refusals latencies decide: where answers
take longer by as much as the window grew, growing further buys waiting and the next refusal,
so it stays (`pace`). It is shared by all searches of the process, and calls beyond it wait
here, where they can be taken back and where interactive searches go first: a quarter of
every window is out of reach of batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prometheus_client import Gauge, Histogram

from rstar_searcher.pace import Pace

LIMIT = Gauge("rstar_searcher_window", "Calls that may be in flight.", ["service"])

WAITED = Histogram(
    "rstar_searcher_window_wait_seconds", "How long calls waited that found a window full.",
    ["service"], buckets=(0.001, 0.01, 0.05, 0.1, 0.3, 1, 3, 10),
)  # fmt: skip

FIRST_CALLS = 1024
"""Before the first refusal; a service that cannot take so many says so. As many trees as one
searcher may hold: with less, those that begin together wait here while nobody is busy."""
MOST_CALLS = 4096
RESERVED_SHARE = 0.25
"""Of the window, for interactive searches."""


class Slot:
    """One call in flight."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._round = window.round
        self._sent = asyncio.get_running_loop().time()

    def succeeded(self) -> None:
        """The call was answered."""
        seconds = asyncio.get_running_loop().time() - self._sent
        # What was sent into another window says nothing about this one.
        self._window.grow(seconds if self._round == self._window.round else None)

    def refused(self) -> None:
        """The service was full."""
        # Calls that were sent before the last decrease say nothing about the new window.
        if self._round == self._window.round:
            self._window.shrink()


class Window:
    """The window of one service."""

    def __init__(self, service: str, *, first: int = FIRST_CALLS) -> None:
        self.service = service
        self.limit = float(first)
        LIMIT.labels(service).set(self.limit)
        self.round = 0
        """Counts decreases."""

        self._pace: Pace | None = None
        """Since the last decrease; None before the first."""

        self.in_flight = 0
        self._batch = 0
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}
        """By whether they are interactive."""

    @asynccontextmanager
    async def slot(self, *, interactive: bool) -> AsyncGenerator[Slot]:
        """Wait for a place and hold it."""
        await self._enter(interactive)
        try:
            yield Slot(self)
        finally:
            self._leave(interactive)

    def grow(self, seconds: float | None = None) -> None:
        """After an answer, if the window was in use; `seconds` is how long it took."""
        if self.in_flight < self.limit / 2:
            return
        if self._pace is None:
            larger = self.limit + 1
        elif seconds is None:
            larger = self.limit + 1 / self.limit
        else:
            larger = self._pace.window_after(self.limit, seconds)
        self.limit = min(MOST_CALLS, larger)
        LIMIT.labels(self.service).set(self.limit)

    def shrink(self) -> None:
        """After a refusal."""
        self.round += 1
        self.limit = max(1.0, min(self.limit, self.in_flight) / 2)
        self._pace = Pace()
        LIMIT.labels(self.service).set(self.limit)

    def _has_room(self, *, interactive: bool) -> bool:
        if self.in_flight >= max(1, int(self.limit)):
            return False
        return interactive or self._batch < max(1, int(self.limit * (1 - RESERVED_SHARE)))

    async def _enter(self, interactive: bool) -> None:
        queue = self._waiting[interactive]
        if not queue and self._has_room(interactive=interactive):
            self._take(interactive)
            return
        loop = asyncio.get_running_loop()
        turn, came = loop.create_future(), loop.time()
        queue.append(turn)
        try:
            await turn
            WAITED.labels(self.service).observe(loop.time() - came)
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn came together with the cancellation
                self._leave(interactive)
            elif turn in queue:
                queue.remove(turn)
            raise

    def _take(self, interactive: bool) -> None:
        self.in_flight += 1
        self._batch += not interactive

    def _leave(self, interactive: bool) -> None:
        self.in_flight -= 1
        self._batch -= not interactive
        for first in (True, False):
            queue = self._waiting[first]
            while queue and self._has_room(interactive=first):
                turn = queue.popleft()
                if not turn.done():
                    self._take(first)
                    turn.set_result(None)

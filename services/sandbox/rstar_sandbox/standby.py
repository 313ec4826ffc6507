"""One sandbox more than there are places, restored and idle, that moves in where one is missing.

Restoring takes gVisor a fifth of a second whatever is done on our side. Nobody waits for that while
one stands by; the next is restored a little later, out of the way of those who lost theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from rstar_common.errors import Unavailable
from rstar_sandbox.container import Container

logger = logging.getLogger(__name__)

REFILL_SECONDS = 1.0
"""From the moment it was taken, or could not be had, to the next attempt."""


@dataclass(frozen=True, slots=True)
class _Idle:
    box: Container
    estate: AsyncExitStack
    """Closed by whoever has it last."""


class Standby:
    """Hands out sandboxes: the one that stands by if there is one, else a new one."""

    def __init__(
        self,
        new: Callable[[], AbstractAsyncContextManager[Container]],
        *,
        refill_seconds: float = REFILL_SECONDS,
    ) -> None:
        self._new = new
        self._refill_seconds = refill_seconds
        self._idle: _Idle | None = None
        self._taken = asyncio.Event()
        self.filled = asyncio.Event()
        """Set while one stands by."""

    @property
    def process_id(self) -> int:
        """Of the one that stands by, on the host; 0 for none."""
        return self._idle.box.pid if self._idle else 0

    @asynccontextmanager
    async def sandbox(self) -> AsyncGenerator[Container]:
        """A sandbox that nobody has used yet.

        Raises:
            Unavailable: it does not start.
        """
        idle = self._take()
        if idle and idle.box.alive:
            async with idle.estate:
                yield idle.box
            return
        if idle:
            await idle.estate.aclose()
        async with self._new() as box:
            yield box

    async def keep(self, stop: asyncio.Event) -> None:
        """Have one stand by until `stop`."""
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._fill(stopped)
                except Unavailable as error:
                    logger.warning("nothing stands by: %s", error)
                await asyncio.wait([stopped], timeout=self._refill_seconds)
        finally:
            stopped.cancel()
            if idle := self._take():
                await idle.estate.aclose()

    async def _fill(self, stopped: asyncio.Task[bool]) -> None:
        """Start one; returns when it is gone again."""
        async with AsyncExitStack() as estate:
            box = await estate.enter_async_context(self._new())
            self._idle = _Idle(box, estate.pop_all())
        self._taken.clear()
        self.filled.set()
        ways_to_go = [asyncio.create_task(event.wait()) for event in (self._taken, box.ended)]
        try:
            await asyncio.wait([*ways_to_go, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways_to_go:
                way.cancel()
        if not box.alive and (idle := self._take()):
            await idle.estate.aclose()

    def _take(self) -> _Idle | None:
        idle, self._idle = self._idle, None
        self.filled.clear()
        self._taken.set()
        return idle

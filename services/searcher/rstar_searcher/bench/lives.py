"""Processes that are killed and begun again, until it is over."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from random import Random
from typing import Literal

from rstar_common.errors import Unavailable

Begin = Callable[[], AbstractAsyncContextManager[int]]
"""Runs a process for the length of a block and yields its pid once it serves."""


class Lives:
    """Who lives, and what died. Those of one kind may be several, as `searcher 1`."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._living: dict[str, int] = {}
        self._died: dict[str, asyncio.Event] = {}
        self.kills: Counter[str] = Counter()
        """By kind."""

    async def live(self, name: str, begin: Begin, over: asyncio.Event) -> None:
        """Begin `name` again whenever it was killed, until `over`."""
        ending = asyncio.ensure_future(over.wait())
        try:
            while not over.is_set():
                with suppress(Unavailable):  # it needs another that is dead now: again, then
                    await self._once(name, begin, ending)
        finally:
            ending.cancel()

    async def _once(self, name: str, begin: Begin, ending: asyncio.Future[Literal[True]]) -> None:
        async with begin() as pid:
            self._died[name] = asyncio.Event()
            self._living[name] = pid
            dying = asyncio.ensure_future(self._died[name].wait())
            await asyncio.wait((ending, dying), return_when=asyncio.FIRST_COMPLETED)
            self._living.pop(name, None)
            dying.cancel()

    def kill_one(self) -> None:
        """SIGKILL to one that serves, whichever: first a kind is drawn, then one of it."""
        kinds = sorted({name.partition(" ")[0] for name in self._living})
        if not kinds:
            return
        kind = self._rng.choice(kinds)
        name = self._rng.choice(sorted(n for n in self._living if n.partition(" ")[0] == kind))
        with suppress(ProcessLookupError):
            os.kill(self._living.pop(name), signal.SIGKILL)
            self.kills[kind] += 1
        self._died[name].set()

    async def kill_every(self, seconds: float) -> None:
        """Kill one, again and again."""
        while True:
            await asyncio.sleep(seconds)
            self.kill_one()

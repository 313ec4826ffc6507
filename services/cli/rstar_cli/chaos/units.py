"""One program of the system under fire: started, signalled, started again as a platform would."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from contextlib import suppress

from rstar_cli.local.process import Command, start, stop, tail
from rstar_common.errors import Unavailable

READY_SECONDS = 90.0
DRAIN_SECONDS = 40.0
"""How long a program may take to leave after SIGTERM; services drain for 25 s at most."""

STOP_SECONDS = 10.0


class Unit:
    """A program and the process that runs it now."""

    def __init__(self, command: Command, ready: Callable[[], Awaitable[None]]) -> None:
        """`ready` returns once the program serves."""
        self.command = command
        self._ready = ready
        self._process: Process | None = None

    @property
    def name(self) -> str:
        """As faults name it."""
        return self.command.name

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def died(self) -> bool:
        """Whether it ended although nobody asked it to."""
        return self._process is not None and self._process.returncode is not None

    async def begin(self, command: Command | None = None) -> None:
        """Start it, or start it as `command` from now on.

        Raises:
            Unavailable: it does not serve; with its last words.
        """
        self.command = command or self.command
        self._process = await start(self.command)
        waiting = asyncio.ensure_future(self._ready())
        dying = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait(
                {waiting, dying}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if not waiting.done() or waiting.exception():
                said = "\n".join(tail(self.command.log, lines=20))
                raise Unavailable(f"{self.name} does not serve:\n{said}")
        finally:
            for task in (waiting, dying):
                task.cancel()
            await asyncio.gather(waiting, dying, return_exceptions=True)

    async def kill(self) -> None:
        """SIGKILL to the program alone: what it started must notice by itself."""
        self._signal(signal.SIGKILL)
        await self._gone()

    async def terminate(self) -> None:
        """SIGTERM, and wait until it has left.

        Raises:
            Unavailable: it does not leave.
        """
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._gone()
        except TimeoutError as error:
            raise Unavailable(f"{self.name} does not leave {DRAIN_SECONDS:.0f} s") from error

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def tell(self, signum: signal.Signals) -> None:
        """Another signal that it understands."""
        self._signal(signum)

    async def end(self) -> None:
        """Stop it and whatever it started, for good."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self.thaw()
        await stop(self._process, grace_seconds=STOP_SECONDS)

    async def _gone(self) -> None:
        assert self._process is not None
        await self._process.wait()

    def _signal(self, signum: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signum)

"""Keep one generator up with the wanted checkpoint: start, watch, swap, replace.

One coroutine, `run`, owns the server. Everybody else reads `now()`, one immutable pair of
server and checkpoint, and does so behind the gate: prompt, sample and version label always
belong to the same weights.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from rstar_common.errors import Unavailable
from rstar_common.rpc import Readiness
from rstar_policy import metrics
from rstar_policy.generation import Server
from rstar_policy.loaded import Checkpoint
from rstar_policy.swap import SwapGate
from rstar_policy.waiting import first_of

logger = logging.getLogger(__name__)

Launcher = Callable[[Checkpoint], AbstractAsyncContextManager[Server]]
"""Brings a server up with a checkpoint, and down again."""

HEALTH_SECONDS = 15.0
"""Between health checks; a process that died is noticed without them."""

HEALTH_TIMEOUT_SECONDS = 60.0
MAX_MISSED_CHECKS = 2

MAX_STARTS = 3
"""Failed starts in a row after which a checkpoint is given up for the last good one. A service
that never had one ends and says why."""

RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0)
"""Pauses between failed starts; the last repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The server that is up and the checkpoint in it."""

    server: Server
    checkpoint: Checkpoint


class Supervisor:
    """Owns the server."""

    def __init__(
        self,
        launcher: Launcher,
        *,
        readiness: Readiness,
        swap_drain_seconds: float,
        restart_seconds: Sequence[float] = RESTART_SECONDS,
        health_seconds: float = HEALTH_SECONDS,
    ) -> None:
        """A swap waits `swap_drain_seconds` for running samples."""
        self._health_seconds = health_seconds
        self._launcher = launcher
        self._readiness = readiness
        self._swap_drain_seconds = swap_drain_seconds
        self._restart_seconds = restart_seconds
        self._gate = SwapGate()
        self._serving: Serving | None = None
        self._wanted: Checkpoint | None = None
        self._last_good: Checkpoint | None = None
        self._changed = asyncio.Event()

    def want(self, checkpoint: Checkpoint) -> None:
        """Serve this checkpoint from now on; `run` does the work."""
        self._wanted = checkpoint
        self._changed.set()

    @property
    def up(self) -> bool:
        """Whether anything is served."""
        return self._serving is not None

    def now(self) -> Serving:
        """What is served at this moment.

        Raises:
            Unavailable: nothing is.
        """
        if self._serving is None:
            raise Unavailable(
                "no policy checkpoint is promoted yet"
                if self._wanted is None
                else "the engine is starting"
            )
        return self._serving

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[Serving]:
        """Wait for the end of a swap, and keep the weights as they are during the body."""
        async with self._gate.generating():
            yield self.now()

    async def run(self, stop: asyncio.Event) -> None:
        """Keep a server up with the wanted checkpoint until `stop`.

        Raises:
            Unavailable: it never came up.
        """
        await first_of(stop=stop.wait(), engine=self._supervise())

    async def _supervise(self) -> None:
        failures = 0
        while True:
            while self._wanted is None:
                await self._changed.wait()
            self._changed.clear()
            checkpoint = self._wanted
            try:
                async with self._launcher(checkpoint) as server:
                    failures = 0
                    self._set_serving(Serving(server=server, checkpoint=checkpoint))
                    ending = await self._serve(server)
                    self._set_serving(None)
                logger.warning("the engine is replaced: %s", ending)
            except Unavailable as error:
                failures += 1
                logger.error("engine: %s", error)
                if failures >= MAX_STARTS and self._last_good is None:
                    raise
                if failures >= MAX_STARTS and self._wanted is checkpoint:
                    self._wanted = self._last_good
                pause = self._restart_seconds[min(failures, len(self._restart_seconds)) - 1]
                # Callers learn that there is no engine, instead of waiting for one.
                self._gate.open()
                await first_of(pause=asyncio.sleep(pause), wanted=self._changed.wait())
            finally:
                self._set_serving(None)

    async def _serve(self, server: Server) -> str:
        """Serve until the server must be replaced; returns why."""
        endings: list[str] = []

        async def exited() -> None:
            endings.append(await server.exited())

        why = await first_of(
            exited=exited(),
            unhealthy=self._until_unhealthy(server),
            other_architecture=self._swap_while_possible(server),
            aborts=server.generator.abort_cancelled(),
        )
        return endings[0] if endings else why.replace("_", " ")

    async def _swap_while_possible(self, server: Server) -> None:
        """Put wanted weights into the running server; return when that cannot be done."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            held, wanted = self.now().checkpoint, self._wanted
            if wanted is None or wanted.version == held.version:
                continue
            started = time.perf_counter()
            await self._gate.close(
                drain_seconds=self._swap_drain_seconds, abort=server.generator.abort_all
            )
            if wanted.architecture != held.architecture:
                metrics.SWAPS.labels("restart").inc()
                self._changed.set()
                # The gate stays closed: callers wait for the new engine.
                return
            await server.generator.update_weights(wanted.directory, version=wanted.version)
            self._set_serving(Serving(server=server, checkpoint=wanted))
            metrics.SWAPS.labels("weights").inc()
            metrics.SWAP_SECONDS.observe(time.perf_counter() - started)

    async def _until_unhealthy(self, server: Server) -> None:
        missed = 0
        while missed < MAX_MISSED_CHECKS:
            # A poll: an engine that hangs tells nobody.
            await asyncio.sleep(self._health_seconds)
            if self._gate.closed:
                continue
            try:
                await server.generator.check_health(HEALTH_TIMEOUT_SECONDS)
                missed = 0
            except Unavailable as error:
                missed += 1
                logger.warning("health check %d missed: %s", missed, error)

    def _set_serving(self, serving: Serving | None) -> None:
        self._serving = serving
        metrics.LOADED.clear()
        if serving is not None:
            self._last_good = serving.checkpoint
            metrics.LOADED.labels(serving.checkpoint.version).set(1)
            logger.info("serving", extra={"policy_version": serving.checkpoint.version})
            self._gate.open()
        metrics.ENGINE_UP.set(serving is not None)
        self._readiness.set(serving is not None)

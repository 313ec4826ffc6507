"""Where sandboxes live, one after the other: started, watched, replaced when dead or worn out."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Counter

from rstar_common.errors import Unavailable
from rstar_sandbox.bundle import GuestOptions
from rstar_sandbox.container import Container, SandboxDied, container
from rstar_sandbox.rootfs import Rootfs
from rstar_sandbox.runsc import Runsc
from rstar_sandbox.settings import SandboxSection
from rstar_sandbox.standby import Standby

logger = logging.getLogger(__name__)

RESTARTS = Counter("rstar_sandbox_restarts_total", "Sandboxes replaced.", ["why"])

TMP_BYTES = 2**26
"""Size of a run's private /tmp."""

RESTART_PAUSE_SECONDS = 1.0
"""Between two attempts to start a sandbox that does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What every sandbox of the pool is made of."""

    runsc: Runsc
    rootfs: Rootfs
    platform: str
    cgroups: bool
    bundles: Path


_numbers = itertools.count(1)


def new_container(
    settings: SandboxSection, environment: Environment, image: Path | None = None
) -> AbstractAsyncContextManager[Container]:
    """A sandbox that is up while the block lasts, going on from a checkpoint if one is given."""
    return container(
        environment.runsc,
        environment.rootfs,
        GuestOptions(
            parallel=settings.parallel,
            parked=settings.parked,
            parked_bytes=int(settings.memory_bytes * settings.parked_share),
            prefork=settings.prefork,
            tmp_bytes=TMP_BYTES,
        ),
        sandbox_id=f"rstar-{os.getpid()}-{next(_numbers)}",
        bundles=environment.bundles,
        platform=environment.platform,
        memory_bytes=settings.memory_bytes,
        cgroups=environment.cgroups,
        image=image,
    )


class Place:
    """Home of one sandbox at a time."""

    def __init__(
        self,
        number: int,
        settings: SandboxSection,
        standby: Standby,
        changed: asyncio.Condition,
    ) -> None:
        self.number = number
        self._settings = settings
        self._standby = standby
        self._changed = changed
        self._worn_out = asyncio.Event()
        self._box: Container | None = None
        self._runs = 0
        self.requests = 0
        self.runs_in_flight = 0
        self.reserved = False
        """One request has it for itself; routing passes it by."""

        self.was_up = asyncio.Event()
        """Set once a first sandbox is up."""

    @property
    def is_up(self) -> bool:
        return self._box is not None and self._box.alive

    @property
    def process_id(self) -> int:
        """Of the sandbox on the host; 0 for none."""
        return self._box.pid if self._box else 0

    @property
    def is_open(self) -> bool:
        """It takes another request."""
        return (
            self.is_up
            and not self.reserved
            and not self._worn_out.is_set()
            and self.requests < self._settings.max_requests
        )

    def score(self, session: str) -> bytes:
        """Rendezvous hashing: the order in which a session likes the places."""
        return hashlib.blake2b(f"{self.number}\0{session}".encode(), digest_size=8).digest()

    @asynccontextmanager
    async def request(self, runs: int) -> AsyncGenerator[Container]:
        """The sandbox, for one request of so many runs.

        Raises:
            SandboxDied: there is none at the moment.
        """
        box = self._box
        if box is None:
            raise SandboxDied("it is being replaced")
        self.requests += 1
        self.runs_in_flight += runs
        try:
            yield box
        finally:
            self.requests -= 1
            self.runs_in_flight -= runs
            self._runs += runs
            if self._runs >= self._settings.recycle_runs:
                self._worn_out.set()
            await self._tell()

    async def keep(self, stop: asyncio.Event, burials: asyncio.TaskGroup) -> None:
        """Keep a sandbox up until `stop`. Those that are gone are cleared away in `burials`.

        Raises:
            Unavailable: the very first does not start. Later ones are tried again and again.
        """
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._occupy(stopped, burials)
                except Unavailable as error:
                    if not self.was_up.is_set():
                        raise
                    logger.error("%s", error)
                    await asyncio.wait([stopped], timeout=RESTART_PAUSE_SECONDS)
        finally:
            stopped.cancel()

    async def _occupy(self, stopped: asyncio.Task[Any], burials: asyncio.TaskGroup) -> None:
        """Let one sandbox live here until it dies, wears out or the service stops.

        The next one does not wait until this one is buried.
        """
        async with AsyncExitStack() as estate:
            box = await estate.enter_async_context(self._standby.sandbox())
            name = box.id
            box.wake()
            self._box, self._runs = box, 0
            self._worn_out.clear()
            self.was_up.set()
            logger.info("a sandbox is up", extra={"sandbox": name, "place": self.number})
            await self._tell()
            died: asyncio.Task[Any] = asyncio.create_task(box.ended.wait())
            worn_out: asyncio.Task[Any] = asyncio.create_task(self._worn_out.wait())
            try:
                await asyncio.wait([died, worn_out, stopped], return_when=asyncio.FIRST_COMPLETED)
                if box.alive:
                    async with self._changed:
                        await self._changed.wait_for(lambda: not self.requests or not box.alive)
            finally:
                died.cancel()
                worn_out.cancel()
                self._box = None
            box.end()
            burials.create_task(estate.pop_all().aclose())
        if not stopped.done():
            why = "worn_out" if self._worn_out.is_set() else "died"
            RESTARTS.labels(why).inc()
            logger.warning(
                "a sandbox is replaced",
                extra={"sandbox": name, "why": why, "said": list(box.last_words)},
            )

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

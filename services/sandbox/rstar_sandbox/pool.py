"""The sandboxes of this machine: kept up, routed to, replaced.

A session always goes to the same sandbox while that one has room, so the interpreters it left
parked are found again. Whatever was in flight in a sandbox that died is tried once more, alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge

from rstar_common.errors import DeadlineExceeded, Overloaded, Unavailable
from rstar_sandbox.bundle import GuestOptions
from rstar_sandbox.container import Container, SandboxDied, container
from rstar_sandbox.guest import frames
from rstar_sandbox.outcomes import SANDBOX_LOST, RunOutcome, RunsReport
from rstar_sandbox.rootfs import Rootfs
from rstar_sandbox.runsc import Runsc
from rstar_sandbox.settings import SandboxSection

logger = logging.getLogger(__name__)

RUNS = Counter("rstar_sandbox_runs_total", "Runs and judgements finished.", ["kind"])
BUSY = Gauge("rstar_sandbox_busy_slots", "Slots in use.")
SLOTS = Gauge("rstar_sandbox_slots", "Runs possible at one time.")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run."""

    session: str
    path: Sequence[str]
    siblings: Sequence[str]
    limits: dict[str, float | int]
    seed: int

    def to_message(self, siblings: Sequence[str]) -> frames.Message:
        return {
            "op": "execute",
            "session": self.session,
            "seed": self.seed,
            "limits": self.limits,
            "path": list(self.path),
            "siblings": list(siblings),
        }


class _Place:
    """Where one sandbox after the other lives."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.box: Container | None = None
        self.requests = 0
        self.runs_in_flight = 0
        self.runs = 0
        self.reserved = False
        """One request has it for itself; routing passes it by."""

        self.worn_out = asyncio.Event()

    def score(self, session: str) -> bytes:
        """Rendezvous hashing: the order in which a session likes the places."""
        return hashlib.blake2b(f"{self.number}\0{session}".encode(), digest_size=8).digest()


class Pool:
    """Runs orders and judgements. `run` is the component that keeps it alive."""

    def __init__(self, settings: SandboxSection, environment: Environment) -> None:
        self._settings = settings
        self._environment = environment
        self.places = [_Place(n) for n in range(settings.sandboxes or os.cpu_count() or 1)]
        self._names = itertools.count(1)
        self._changed = asyncio.Condition()
        self._alone = asyncio.Lock()
        self._stopping = False
        self.ready = asyncio.Event()
        """Set once every sandbox has been up."""

    @property
    def version(self) -> str:
        return self._environment.rootfs.version

    @property
    def platform(self) -> str:
        return self._environment.platform

    @property
    def runsc_version(self) -> str:
        return self._environment.runsc.version

    @property
    def slots(self) -> int:
        return len(self.places) * self._settings.parallel

    @property
    def busy_slots(self) -> int:
        return sum(min(place.runs_in_flight, self._settings.parallel) for place in self.places)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep every place occupied until `stop`."""
        SLOTS.set(self.slots)
        BUSY.set_function(lambda: self.busy_slots)
        async with asyncio.TaskGroup() as group:
            for place in self.places:
                group.create_task(self._keep(place, stop))

    async def execute(self, order: Order, *, timeout_seconds: float) -> RunsReport:
        """Run the siblings of an order.

        Raises:
            Overloaded: every sandbox has all it may hold.
            DeadlineExceeded: the time is up.
        """
        place = self._route(order.session)
        try:
            async with asyncio.timeout(timeout_seconds):
                try:
                    return await self._execute_in(place, order, order.siblings)
                except SandboxDied:
                    return await self._execute_alone(order)
        except TimeoutError as error:
            raise DeadlineExceeded(f"not done within {timeout_seconds:.1f} s") from error

    async def judge(
        self,
        answer: str,
        reference: str,
        limits: dict[str, float | int],
        *,
        timeout_seconds: float,
    ) -> frames.Message:
        """Compare two answers in the sandbox that has least to do; {} when that killed it."""
        message = {"op": "judge", "answer": answer, "reference": reference, "limits": limits}
        place = min(self._open_places(), key=lambda place: place.runs_in_flight)
        try:
            async with self._request(place, 1) as box:
                return await box.ask(message, timeout_seconds=timeout_seconds)
        except SandboxDied:
            return {}
        except TimeoutError as error:
            raise DeadlineExceeded(f"not done within {timeout_seconds:.1f} s") from error

    def _open_places(self) -> list[_Place]:
        found = [
            place
            for place in self.places
            if place.box
            and place.box.alive
            and not place.reserved
            and not place.worn_out.is_set()
            and place.requests < self._settings.max_requests
        ]
        if not found:
            if self._stopping:
                raise Unavailable("the service is stopping")
            raise Overloaded("every sandbox is busy", retry_after_seconds=0.2)
        return found

    def _route(self, session: str) -> _Place:
        return max(self._open_places(), key=lambda place: place.score(session))

    @asynccontextmanager
    async def _request(self, place: _Place, runs: int) -> AsyncGenerator[Container]:
        box = place.box
        if box is None:
            raise SandboxDied("it is being replaced")
        place.requests += 1
        place.runs_in_flight += runs
        try:
            yield box
        finally:
            place.requests -= 1
            place.runs_in_flight -= runs
            place.runs += runs
            if place.runs >= self._settings.recycle_runs:
                place.worn_out.set()
            await self._tell()

    async def _execute_in(self, place: _Place, order: Order, siblings: Sequence[str]) -> RunsReport:
        async with self._request(place, len(siblings)) as box:
            answer = await box.ask(order.to_message(siblings), timeout_seconds=None)
            try:
                report = RunsReport.from_message(answer, len(siblings))
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("a sandbox answers nonsense: %s", error, extra={"sandbox": box.id})
                box.end()
                raise SandboxDied("it answered nonsense") from error
        RUNS.labels("execute").inc(len(siblings))
        return report

    async def _execute_alone(self, order: Order) -> RunsReport:
        """Sibling by sibling, nothing else in the sandbox: who kills it is found out."""
        outcomes: list[RunOutcome] = []
        cpu_seconds, path_failed = 0.0, False
        async with self._alone:
            for sibling in order.siblings:
                async with self._reserve() as place:
                    try:
                        report = await self._execute_in(place, order, [sibling])
                    except SandboxDied:
                        outcomes.append(SANDBOX_LOST)
                        continue
                outcomes += report.outcomes
                cpu_seconds += report.cpu_seconds
                path_failed = path_failed or report.path_failed
        return RunsReport(tuple(outcomes), cpu_seconds, path_failed)

    @asynccontextmanager
    async def _reserve(self) -> AsyncGenerator[_Place]:
        """A sandbox with nothing in it that gets nothing else."""
        place = min(self.places, key=lambda place: place.requests)
        place.reserved = True
        try:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: place.box is not None and place.box.alive and not place.requests
                )
            yield place
        finally:
            place.reserved = False

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _keep(self, place: _Place, stop: asyncio.Event) -> None:
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._occupy(place, stopped)
                except Unavailable as error:
                    if not self.ready.is_set():
                        raise
                    logger.error("%s", error)
                    await asyncio.wait([stopped], timeout=RESTART_PAUSE_SECONDS)
        finally:
            self._stopping = True
            stopped.cancel()

    async def _occupy(self, place: _Place, stopped: asyncio.Task[Any]) -> None:
        """Let one sandbox live in a place until it dies, wears out or the service stops."""
        name = f"rstar-{os.getpid()}-{next(self._names)}"
        async with self._new_container(name) as box:
            place.box, place.runs = box, 0
            place.worn_out.clear()
            logger.info("a sandbox is up", extra={"sandbox": name, "place": place.number})
            if all(other.box for other in self.places):
                self.ready.set()
            await self._tell()
            died: asyncio.Task[Any] = asyncio.create_task(box.ended.wait())
            worn_out: asyncio.Task[Any] = asyncio.create_task(place.worn_out.wait())
            try:
                await asyncio.wait([died, worn_out, stopped], return_when=asyncio.FIRST_COMPLETED)
                if box.alive:
                    async with self._changed:
                        await self._changed.wait_for(lambda: not place.requests or not box.alive)
            finally:
                died.cancel()
                worn_out.cancel()
                place.box = None
        if not stopped.done():
            why = "worn_out" if place.worn_out.is_set() else "died"
            RESTARTS.labels(why).inc()
            logger.warning(
                "a sandbox is replaced",
                extra={"sandbox": name, "why": why, "said": list(box.last_words)},
            )

    def _new_container(self, name: str) -> AbstractAsyncContextManager[Container]:
        settings, environment = self._settings, self._environment
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
            sandbox_id=name,
            bundles=environment.bundles,
            platform=environment.platform,
            memory_bytes=settings.memory_bytes,
            cgroups=environment.cgroups,
        )

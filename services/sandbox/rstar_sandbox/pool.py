"""The sandboxes of this machine, as one: routed to, retried in.

A session always goes to the same sandbox while that one has room, so the interpreters it left
parked are found again. Whatever was in flight in a sandbox that died is tried once more, alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client import Counter, Gauge

from rstar_common.errors import DeadlineExceeded, Overloaded, Unavailable
from rstar_sandbox.checkpoint import Checkpoint
from rstar_sandbox.container import SandboxDied
from rstar_sandbox.guest import frames
from rstar_sandbox.outcomes import SANDBOX_LOST, RunOutcome, RunsReport
from rstar_sandbox.places import Environment, Place, new_container
from rstar_sandbox.settings import SandboxSection
from rstar_sandbox.standby import Standby

logger = logging.getLogger(__name__)

RUNS = Counter("rstar_sandbox_runs_total", "Runs and judgements finished.", ["kind"])
OUTCOMES = Counter(
    "rstar_sandbox_steps_total", "Steps run, by what ended them: end, exception, a limit.", ["end"]
)
CPU_SECONDS = Counter("rstar_sandbox_cpu_seconds_total", "CPU time that steps took.")
BUSY = Gauge("rstar_sandbox_busy_slots", "Slots in use.")
SLOTS = Gauge("rstar_sandbox_slots", "Runs possible at one time.")

BUSY_RETRY_SECONDS = 0.2
"""Hint to those who are refused: about the time of a few runs."""


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


class Pool:
    """Runs orders and judgements. `run` is the component that keeps it alive."""

    def __init__(self, settings: SandboxSection, environment: Environment) -> None:
        self._settings = settings
        self._environment = environment
        opening = partial(new_container, settings, environment)
        self._changed = asyncio.Condition()
        self.checkpoint = Checkpoint(environment.runsc, environment.bundles.parent / "checkpoint")
        self.standby = Standby(partial(self.checkpoint.sandbox, opening))
        self.places = [
            Place(number, settings, self.standby, self._changed)
            for number in range(settings.sandboxes or os.cpu_count() or 1)
        ]
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
    def process_ids(self) -> list[int]:
        """Of the sandboxes that are up."""
        return [place.process_id for place in self.places if place.process_id]

    @property
    def busy_slots(self) -> int:
        return sum(min(place.runs_in_flight, self._settings.parallel) for place in self.places)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep every place occupied until `stop`."""
        SLOTS.set(self.slots)
        BUSY.set_function(lambda: self.busy_slots)
        async with asyncio.TaskGroup() as group:
            for place in self.places:
                group.create_task(place.keep(stop, group))
            group.create_task(self._announce(stop))
            if self._settings.standby:
                await self.ready.wait()
                await self.standby.keep(stop)

    async def _announce(self, stop: asyncio.Event) -> None:
        ups = [asyncio.create_task(place.was_up.wait()) for place in self.places]
        stopped = asyncio.create_task(stop.wait())
        try:
            for up in ups:
                await asyncio.wait([up, stopped], return_when=asyncio.FIRST_COMPLETED)
            self.ready.set()
            await stopped
            self._stopping = True
        finally:
            for task in (*ups, stopped):
                task.cancel()

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
            async with place.request(1) as box:
                return await box.ask(message, timeout_seconds=timeout_seconds)
        except SandboxDied:
            return {}
        except TimeoutError as error:
            raise DeadlineExceeded(f"not done within {timeout_seconds:.1f} s") from error

    def _open_places(self) -> list[Place]:
        found = [place for place in self.places if place.is_open]
        if not found and self._stopping:
            raise Unavailable("the service is stopping")
        if not found:
            raise Overloaded(
                "every sandbox is busy or being replaced", retry_after_seconds=BUSY_RETRY_SECONDS
            )
        return found

    def _route(self, session: str) -> Place:
        return max(self._open_places(), key=lambda place: place.score(session))

    async def _execute_in(self, place: Place, order: Order, siblings: Sequence[str]) -> RunsReport:
        async with place.request(len(siblings)) as box:
            answer = await box.ask(order.to_message(siblings), timeout_seconds=None)
            try:
                report = RunsReport.from_message(answer, len(siblings))
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("a sandbox answers nonsense: %s", error, extra={"sandbox": box.id})
                box.end()
                raise SandboxDied("it answered nonsense") from error
        RUNS.labels("execute").inc(len(siblings))
        CPU_SECONDS.inc(report.cpu_seconds)
        for outcome in report.outcomes:
            OUTCOMES.labels(outcome.limit or ("exception" if outcome.exception else "end")).inc()
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
    async def _reserve(self) -> AsyncGenerator[Place]:
        """A sandbox with nothing in it that gets nothing else."""
        place = min(self.places, key=lambda place: place.requests)
        place.reserved = True
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: place.is_up and not place.requests)
            yield place
        finally:
            place.reserved = False

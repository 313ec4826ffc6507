"""A simulated place of work: jobs share its speed, and leave it at once when they are given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from rstar_common.processor_sharing import EngineSpeed, ProcessorSharing


class Clock(Protocol):
    """Simulated time, and when it comes on the loop's clock."""

    @property
    def now(self) -> float: ...

    def loop_time(self, simulated: float) -> float: ...


class Station:
    """First come first served; ends are computed by events, never polled."""

    def __init__(self, speed: EngineSpeed, clock: Clock) -> None:
        self._sharing = ProcessorSharing(speed)
        self._speed = speed
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._jobs: dict[int, asyncio.Future[float]] = {}
        self.free_since = self._loop.time()
        """When the last job went, on the loop's clock, if there is none."""

    @property
    def held(self) -> int:
        """Jobs that run or wait to run."""
        return len(self._jobs)

    @property
    def busy(self) -> float:
        """Share of its speed that was used until now."""
        now = self._clock.now
        self._sharing.advance(now)
        return self._sharing.tokens / (self._speed.total * now) if now else 0.0

    async def work(self, sizes: Sequence[float]) -> float:
        """Do jobs of these sizes; returns when, on the loop's clock, the last was due to end.

        Whoever is cancelled while it waits takes its jobs with it.
        """
        jobs = self._submit(sizes)
        try:
            return max(await asyncio.gather(*jobs.values()))
        except asyncio.CancelledError:
            self._give_up(jobs)
            raise

    async def work_until(self, enough: int, sizes: Sequence[float]) -> tuple[float, float]:
        """Do jobs until it is sure which `enough` of them are the smallest; give up the others.

        Jobs that were behind the largest of those, having begun later, are begun anew and go
        on to its size. Returns what was done of all, and when it was due.
        """
        jobs = self._submit(sizes)
        size_of = dict(zip(jobs, sizes, strict=True))
        running = set(jobs.values())
        try:
            while len(jobs) - len(running) < enough:
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._give_up(jobs)
            raise
        ended = {ticket: job.result() for ticket, job in jobs.items() if job.done()}
        came = self._give_up([ticket for ticket in jobs if ticket not in ended])
        limit = sorted(size_of[ticket] for ticket in ended)[enough - 1]
        behind = [min(size_of[ticket], limit) for ticket, far in came.items() if far < limit]
        done = sum(size_of[ticket] for ticket in ended) + sum(came.values()) + sum(behind)
        return done, await self.work(behind) if behind else max(ended.values())

    def _submit(self, sizes: Sequence[float]) -> dict[int, asyncio.Future[float]]:
        jobs: dict[int, asyncio.Future[float]] = {}
        for size in sizes:
            done: asyncio.Future[float] = self._loop.create_future()
            jobs[self._sharing.submit(self._clock.now, size)] = done
        self._jobs |= jobs
        self._wake()
        return jobs

    def _give_up(self, tickets: Iterable[int]) -> dict[int, float]:
        """How far each had come."""
        came = {}
        for ticket in tickets:
            self._jobs.pop(ticket, None)
            came[ticket] = self._sharing.abort(self._clock.now, ticket)
        self._wake()
        return came

    def _wake(self) -> None:
        if not self._jobs:
            self.free_since = self._loop.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        end = self._sharing.next_end()
        if end is not None:
            due = self._clock.loop_time(end)
            self._timer = self._loop.call_at(due, self._ended, due)

    def _ended(self, due: float) -> None:
        for ticket in self._sharing.completed(self._clock.now):
            job = self._jobs.pop(ticket, None)
            if job is not None and not job.done():
                job.set_result(due)
        self._wake()

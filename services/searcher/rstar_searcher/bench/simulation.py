"""The simulated engine, sandbox and PPM, waiting on the running loop's clock.

One `Simulation` is shared by all searches of a run. `scale` lets simulated time pass so
many times faster than the loop's; everything it reports is in simulated seconds. With the
loop of `virtual_time` the waiting takes no time at all. Each call also
returns when, on the loop's clock, its reply was due: whatever passes after that is the
searcher's delay, a late timer included.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence

from rstar_common.processor_sharing import ProcessorSharing
from rstar_searcher.bench.parameters import Parameters


class Simulation:
    """What the services do, in terms of problems and paths."""

    def __init__(self, parameters: Parameters, *, scale: float = 1.0) -> None:
        self.parameters = parameters
        self.world = parameters.world
        self.expanded: list[tuple[int, str]] = []
        """Every (problem, path) proposed for, in order; a repeat would be an error of ours."""

        self.sequences = 0
        self.tokens = 0
        """Asked for; what was aborted included."""

        self.executed_seconds = 0.0
        self.ppm_calls = 0
        self._instant = parameters.instant
        self._scale = scale
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._engine = ProcessorSharing(parameters.engine)
        self._engine_timer: asyncio.TimerHandle | None = None
        self._generating: dict[int, asyncio.Future[float]] = {}
        self._slots = [0.0] * parameters.executions
        """When each place of the sandbox is free."""

        self._to_score: list[tuple[int, asyncio.Future[float]]] = []
        self._scoring = False

    @property
    def now(self) -> float:
        """Simulated seconds since the beginning."""
        return (self._loop.time() - self._started) * self._scale

    @property
    def engine_busy(self) -> float:
        """Share of the engine's speed that was used until now."""
        self._engine.advance(self.now)
        generated = self._engine.tokens
        return generated / (self.parameters.engine.total * self.now) if self.now else 0.0

    async def generate(self, pid: int, path: str, count: int) -> tuple[list[int], float]:
        """Lengths of the candidates below `path`, once the last of them is generated."""
        self.expanded.append((pid, path))
        lengths = [self.world.tokens(pid, f"{path}.{j}") for j in range(count)]
        self.sequences += count
        self.tokens += sum(lengths)
        if self._instant:
            return lengths, self._loop.time()
        tickets = {}
        for length in lengths:
            done: asyncio.Future[float] = self._loop.create_future()
            tickets[self._engine.submit(self.now, length)] = done
        self._generating |= tickets
        self._wake_engine()
        try:
            due = max(await asyncio.gather(*tickets.values()))
        except asyncio.CancelledError:
            for ticket in tickets:
                self._generating.pop(ticket, None)
                self._engine.abort(self.now, ticket)
            self._wake_engine()
            raise
        return lengths, due

    async def execute(self, seconds: Sequence[float]) -> float:
        """Run programs of these durations, first come first served, and wait for all."""
        if self._instant or not seconds:
            return self._loop.time()
        end = 0.0
        for duration in seconds:
            start = max(self.now, heapq.heappop(self._slots))
            heapq.heappush(self._slots, start + duration)
            end = max(end, start + duration)
            self.executed_seconds += duration
        return await self._until(end)

    async def score(self, candidates: int) -> float:
        """Have so many candidates scored; calls that wait are joined into one."""
        if self._instant or not candidates:
            return self._loop.time()
        done: asyncio.Future[float] = self._loop.create_future()
        self._to_score.append((candidates, done))
        if not self._scoring:
            self._score_waiting()
        return await done

    def _score_waiting(self) -> None:
        batch, self._to_score = self._to_score, []
        self._scoring = bool(batch)
        if not batch:
            return
        self.ppm_calls += 1
        candidates = sum(count for count, _ in batch)
        cost = self.parameters.ppm_call_seconds + self.parameters.ppm_candidate_seconds * candidates

        due = self._loop_time(self.now + cost)

        def scored() -> None:
            for _, done in batch:
                _resolve(done, due)
            self._score_waiting()

        self._loop.call_at(due, scored)

    async def _until(self, simulated: float) -> float:
        done: asyncio.Future[float] = self._loop.create_future()
        due = self._loop_time(simulated)
        timer = self._loop.call_at(due, _resolve, done, due)
        try:
            return await done
        finally:
            timer.cancel()

    def _wake_engine(self) -> None:
        if self._engine_timer is not None:
            self._engine_timer.cancel()
            self._engine_timer = None
        end = self._engine.next_end()
        if end is not None:
            due = self._loop_time(end)
            self._engine_timer = self._loop.call_at(due, self._engine_event, due)

    def _engine_event(self, due: float) -> None:
        for ticket in self._engine.completed(self.now):
            done = self._generating.pop(ticket, None)
            if done is not None:
                _resolve(done, due)
        self._wake_engine()

    def _loop_time(self, simulated: float) -> float:
        return self._started + simulated / self._scale


def _resolve(done: asyncio.Future[float], due: float) -> None:
    if not done.done():
        done.set_result(due)

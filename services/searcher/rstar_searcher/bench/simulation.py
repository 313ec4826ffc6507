"""The simulated engine, sandbox and PPM, waiting on the running loop's clock.

One `Simulation` is shared by all searches of a run. `scale` lets simulated time pass so
many times faster than the loop's; everything it reports is in simulated seconds. With the
loop of `virtual_time` the waiting takes no time at all. Each call also
returns when, on the loop's clock, its reply was due: whatever passes after that is the
searcher's delay, a late timer included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rstar_common.processor_sharing import EngineSpeed
from rstar_searcher.bench.parameters import Parameters
from rstar_searcher.bench.station import Station


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

        self.aborted = 0
        """Proposals whose caller left before the answer."""

        self.ppm_calls = 0
        self._instant = parameters.instant
        self._scale = scale
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._engine = Station(parameters.engine, self)
        # A program runs at one second a second, whatever runs beside it.
        places = parameters.executions
        self._sandbox = Station(EngineSpeed(running=places, per_sequence=1.0, total=places), self)
        self._to_score: list[tuple[int, asyncio.Future[float]]] = []
        self._scoring = False

    @property
    def now(self) -> float:
        """Simulated seconds since the beginning."""
        return (self._loop.time() - self._started) * self._scale

    def loop_time(self, simulated: float) -> float:
        """When a simulated time comes, on the loop's clock."""
        return self._started + simulated / self._scale

    @property
    def engine_busy(self) -> float:
        """Share of the engine's speed that was used until now."""
        return self._engine.busy

    @property
    def generating(self) -> int:
        """Sequences the engine holds now, those that wait included."""
        return self._engine.held

    @property
    def executing(self) -> int:
        """Programs the sandbox holds now, those that wait included."""
        return self._sandbox.held

    @property
    def free_since(self) -> float:
        """When the last of both went, on the loop's clock, if there is none."""
        return max(self._engine.free_since, self._sandbox.free_since)

    async def generate(
        self, pid: int, path: str, count: int, *, enough: int = 0
    ) -> tuple[list[int], float]:
        """Lengths of the candidates below `path`, once the last of them is generated.

        With `enough`, those longer than so many of their siblings are cut off as the policy
        service does it, and their lengths are negative.
        """
        self.expanded.append((pid, path))
        lengths = [self.world.tokens(pid, f"{path}.{j}") for j in range(count)]
        self.sequences += count
        cuts = 0 < enough < count and not self._instant
        self.tokens += 0 if cuts else sum(lengths)
        if self._instant:
            return lengths, self._loop.time()
        try:
            if not cuts:
                return lengths, await self._engine.work(lengths)
            done, due = await self._engine.work_until(enough, lengths)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        self.tokens += round(done)
        limit = sorted(lengths)[enough - 1]
        return [length if length <= limit else -limit for length in lengths], due

    async def execute(self, seconds: Sequence[float]) -> float:
        """Run programs of these durations, first come first served, and wait for all."""
        if self._instant or not seconds:
            return self._loop.time()
        return await self._sandbox.work(seconds)

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

        due = self.loop_time(self.now + cost)

        def scored() -> None:
            for _, done in batch:
                _resolve(done, due)
            self._score_waiting()

        self._loop.call_at(due, scored)


def _resolve(done: asyncio.Future[float], due: float) -> None:
    if not done.done():
        done.set_result(due)

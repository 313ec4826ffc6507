"""Our own tree and driver on the simulated world."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from rstar_searcher.bench.machine import resident_bytes
from rstar_searcher.bench.parameters import CANDIDATES, Parameters
from rstar_searcher.bench.schedules import Schedule
from rstar_searcher.bench.services import SimulatedServices, Stopwatch, problem_of
from rstar_searcher.bench.simulation import Simulation
from rstar_searcher.bench.world import work_digest
from rstar_searcher.driver import Progress, drive
from rstar_searcher.meter import Meter
from rstar_searcher.settings import Mode, SearchSettings
from rstar_searcher.strategies import Strategy, make_strategy


def comparison_settings(
    *, rollouts: int, parallel: int = 1, stop_after_right: int = 0, enough: int = 0
) -> SearchSettings:
    """The comparison search: PPM-augmented MCTS with no budget but its rollouts."""
    return SearchSettings(
        mode=Mode.PPM_AUGMENTED,
        rollouts=rollouts,
        candidates=CANDIDATES,
        parallel_rollouts=parallel,
        stop_after_right=stop_after_right,
        enough_candidates=enough,
        max_trajectory_tokens=65_536,
        max_generated_tokens=100_000_000,
        max_sandbox_seconds=86_400.0,
        max_wall_seconds=86_400.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What came of a run, beside its schedule."""

    schedule: Schedule
    solved: int
    """Problems with a right answer."""

    right_at: Sequence[float]
    """Simulated seconds until each right answer, ascending."""

    nodes: int
    resident_bytes: int
    """Of the process, with every tree still there."""


async def run_driver(
    parameters: Parameters,
    settings: SearchSettings,
    *,
    pids: Sequence[int],
    scale: float = 1.0,
    start_interval_seconds: float = 0.0,
    provenance: bool = False,
    stopwatch: Stopwatch | None = None,
) -> Driven:
    """Search every problem at once, each with a tree of its own.

    `start_interval_seconds`, on the clock, is between two starts.
    """
    simulation = Simulation(parameters, scale=scale)
    right_at: list[float] = []
    strategies = await _searched(
        simulation,
        settings,
        pids,
        right_at=right_at,
        start_interval_seconds=start_interval_seconds,
        provenance=provenance,
        stopwatch=stopwatch,
    )
    right = [sum(backup.value == 1.0 for backup in s.backups) for s in strategies]
    return Driven(
        schedule=Schedule(
            seconds=simulation.now,
            busy=simulation.engine_busy,
            expansions=len(set(simulation.expanded)),
            sequences=simulation.sequences,
            tokens=simulation.tokens,
            answers=sum(len(strategy.backups) for strategy in strategies),
            right=sum(right),
            digest=work_digest(simulation.expanded),
        ),
        solved=sum(count > 0 for count in right),
        right_at=right_at,
        nodes=sum(len(strategy.tree) for strategy in strategies),
        resident_bytes=resident_bytes(),
    )


async def search_all(
    parameters: Parameters, settings: SearchSettings, pids: Sequence[int]
) -> list[Strategy]:
    """As `run_driver`; what each search's strategy knows in the end, in the order of `pids`."""
    return await _searched(Simulation(parameters), settings, pids)


async def _searched(
    simulation: Simulation,
    settings: SearchSettings,
    pids: Sequence[int],
    *,
    right_at: list[float] | None = None,
    start_interval_seconds: float = 0.0,
    provenance: bool = False,
    stopwatch: Stopwatch | None = None,
) -> list[Strategy]:
    strategies: list[Strategy] = []

    def on_progress(progress: Progress) -> None:
        if right_at is not None:
            right_at.extend(simulation.now for b in progress.backups if b.value == 1.0)

    async def search(pid: int) -> None:
        strategy = make_strategy(settings)
        strategies.append(strategy)
        meter = Meter()
        services = SimulatedServices(simulation, meter, provenance=provenance, stopwatch=stopwatch)
        await drive(
            strategy,
            problem_of(pid),
            settings,
            services,
            meter,
            cancel=asyncio.Event(),
            on_progress=on_progress,
        )

    async with asyncio.TaskGroup() as group:
        for pid in pids:
            group.create_task(search(pid))
            if start_interval_seconds:
                await asyncio.sleep(start_interval_seconds)
    return strategies

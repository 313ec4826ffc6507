"""Latency, throughput, chains: measured in turns, so that all variants see the same machine."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from rstar_sandbox.bench.variants import Variant
from rstar_sandbox.bench.work import FORKED_PARENT, PLAIN_PARENT, STEPS, Numbers, Text

TURNS = 3
SIBLINGS = 8
FEWEST_SAMPLES = 1
"""Of each turn, however slow the variant."""

Once = Callable[[], Awaitable[None]]
Figures = dict[str, float | int]

_sessions = itertools.count(1)


def new_session() -> str:
    """Nothing is parked for it."""
    return f"bench-{next(_sessions)}"


async def in_turns(subjects: Mapping[str, Once], seconds: float) -> dict[str, Figures]:
    """Time each subject, one call after the other, a slice of the time at a time."""
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(TURNS):
        for name, once in subjects.items():
            deadline, taken = time.perf_counter() + seconds / TURNS, 0
            while time.perf_counter() < deadline or taken < FEWEST_SAMPLES:
                started = time.perf_counter()
                await once()
                samples[name].append((time.perf_counter() - started) * 1000)
                taken += 1
    return {name: summary(values) for name, values in samples.items()}


def summary(milliseconds: list[float]) -> Figures:
    """Median, 99th percentile (nearest rank), count."""
    ordered = sorted(milliseconds)
    return {
        "p50_ms": round(statistics.median(ordered), 2),
        "p99_ms": round(ordered[math.ceil(0.99 * len(ordered)) - 1], 2),
        "n": len(ordered),
    }


async def request(variant: Variant, parent: str, step: Text, count: int) -> Once:
    """Requests with new siblings of a parent that is parked by now."""
    session, numbers = new_session(), Numbers()

    async def once() -> None:
        await variant.run(session, [parent], numbers.siblings(step, count))

    await once()
    return once


async def while_memory_grows(calls: Iterable[Once]) -> Figures:
    """Calls each of which leaves an interpreter parked, or a larger one than before.

    Until all places are taken each needs memory that the kernel, or whoever lent it to this
    machine, hands out and clears for the first time. Later ones get what others gave back, and all
    other figures are of those.
    """
    samples: list[float] = []
    for once in calls:
        started = time.perf_counter()
        await once()
        samples.append((time.perf_counter() - started) * 1000)
    return summary(samples)


async def forked_prints(variant: Variant, count: int) -> Iterable[Once]:
    """So many forked requests of as many parents as a search has siblings."""
    prints = [await request(variant, FORKED_PARENT, STEPS["print"], 1) for _ in range(SIBLINGS)]
    return itertools.islice(itertools.cycle(prints), count)


async def throughput(
    variants: Mapping[str, tuple[Variant, str]], step: Text, searches: int, seconds: float
) -> dict[str, float]:
    """Runs a second of so many searches at once, eight siblings a request."""
    runs, spent = dict.fromkeys(variants, 0), dict.fromkeys(variants, 0.0)
    for _ in range(TURNS):
        for name, (variant, parent) in variants.items():
            subjects = [await request(variant, parent, step, SIBLINGS) for _ in range(searches)]
            started = time.perf_counter()
            done = await asyncio.gather(
                *(_repeat(once, started + seconds / TURNS) for once in subjects)
            )
            runs[name] += SIBLINGS * sum(done)
            spent[name] += time.perf_counter() - started
    return {name: round(runs[name] / spent[name], 1) for name in variants}


async def _repeat(once: Once, deadline: float) -> int:
    count = 0
    while time.perf_counter() < deadline or not count:
        await once()
        count += 1
    return count


def chains(variants: Mapping[str, Variant], processes: Variant) -> dict[str, Once]:
    """Six steps, each on the one before it: kept states, forks, or the whole path each time."""
    subjects: dict[str, Once] = {}
    for name, variant in variants.items():
        subjects[f"{name}_kept"] = _chain(variant, forked=False, keep=True)
        subjects[f"{name}_forked"] = _chain(variant, forked=True, keep=True)
        subjects[f"{name}_replayed"] = _chain(variant, forked=False, keep=False)
    subjects["process"] = _chain(processes, forked=False, keep=False)
    return subjects


def _chain(variant: Variant, *, forked: bool, keep: bool) -> Once:
    numbers = Numbers()

    async def once() -> None:
        session, steps = new_session(), numbers.chain(forked=forked)
        for index, step in enumerate(steps):
            await variant.run(session if keep else new_session(), steps[:index], [step])

    return once


async def latencies(
    variants: Mapping[str, Variant], processes: Variant, step: Text, count: int, seconds: float
) -> dict[str, Figures]:
    """Of one request; `gvisor` and `bare` as they come and, `_forked`, with forks throughout."""
    subjects: dict[str, Once] = {}
    for name, variant in variants.items():
        subjects[name] = await request(variant, PLAIN_PARENT, step, count)
        subjects[f"{name}_forked"] = await request(variant, FORKED_PARENT, step, count)
    subjects["process"] = await request(processes, PLAIN_PARENT, step, count)
    return await in_turns(subjects, seconds)

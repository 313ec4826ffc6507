"""How long it takes to a first answer: from nothing, from a checkpoint, and where one stands by."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from rstar_common.errors import Overloaded
from rstar_sandbox.bench.figures import Figures, summary
from rstar_sandbox.bench.variants import order, printed
from rstar_sandbox.bench.work import STEPS
from rstar_sandbox.container import Container
from rstar_sandbox.outcomes import RunsReport
from rstar_sandbox.pool import Pool
from rstar_sandbox.usage import descendants

ASK_AGAIN_SECONDS = 0.001


async def start_ms(
    new: Callable[[], AbstractAsyncContextManager[Container]], times: int
) -> Figures:
    """To the answer of a sympy step."""
    samples: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        async with new() as box:
            box.wake()
            wanted = order("start", [], [STEPS["sympy"](len(samples))])
            answer = await box.ask(wanted.to_message(wanted.siblings), timeout_seconds=60)
            samples.append((time.perf_counter() - started) * 1000)
            printed(RunsReport.from_message(answer, 1))
    return summary(samples) | {"best_ms": round(min(samples), 1)}


async def takeover_ms(pool: Pool, times: int) -> Figures:
    """From the death of the only sandbox of a pool, while another stands by."""
    samples: list[float] = []
    for number in range(times):
        await pool.standby.filled.wait()
        wanted = order("takeover", [], [STEPS["sympy"](number)])
        await pool.execute(wanted, timeout_seconds=60)
        for victim in descendants(pool.process_ids[0]):
            os.kill(victim, signal.SIGKILL)
        started = time.perf_counter()
        wanted = order("takeover", [], [STEPS["sympy"](times + number)])
        while True:
            try:
                printed(await pool.execute(wanted, timeout_seconds=60))
                break
            except Overloaded:
                await asyncio.sleep(ASK_AGAIN_SECONDS)
        samples.append((time.perf_counter() - started) * 1000)
    return summary(samples) | {"best_ms": round(min(samples), 1)}

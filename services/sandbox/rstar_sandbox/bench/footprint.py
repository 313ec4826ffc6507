"""How long a sandbox takes from nothing, or from a checkpoint, to a first answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from rstar_sandbox.bench.figures import Figures, summary
from rstar_sandbox.bench.variants import order, printed
from rstar_sandbox.bench.work import STEPS
from rstar_sandbox.container import Container
from rstar_sandbox.outcomes import RunsReport


async def start_ms(
    new: Callable[[], AbstractAsyncContextManager[Container]], times: int
) -> Figures:
    """To the answer of a sympy step."""
    samples: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        async with new() as box:
            wanted = order("start", [], [STEPS["sympy"](len(samples))])
            answer = await box.ask(wanted.to_message(wanted.siblings), timeout_seconds=60)
            samples.append((time.perf_counter() - started) * 1000)
            printed(RunsReport.from_message(answer, 1))
    return summary(samples) | {"best_ms": round(min(samples), 1)}

"""How fast steps run: `python -m rstar_sandbox.bench` prints one JSON line.

Starts sandboxes of its own on this machine. Every figure is of whole requests as the pool sees
them, gRPC apart; `plain` is the same work as `python -c` processes without any sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from rstar_sandbox.environment import prepared
from rstar_sandbox.limits import to_message
from rstar_sandbox.pool import Order, Pool
from rstar_sandbox.settings import LimitSection, SandboxSection

STEPS = {
    "print": "print(1)",
    "numpy": "import numpy as np\nprint(np.linalg.det(np.arange(16).reshape(4, 4) + np.eye(4)))",
    "sympy": "from sympy import *\nx = symbols('x')\nprint(expand((x + 1)**3), solve(x**2 - 2))",
}

CHAIN = [
    "from sympy import *\nx, y = symbols('x y')",
    "e = expand((x + y)**4)\nprint(e)",
    "f = factor(e)\nprint(f)",
    "d = diff(e, x)\nprint(d)",
    "s = solve([x + y - 3, x - y - 1], [x, y])\nprint(s)",
    "print(e.subs(s), integrate(d, x))",
]

TIMEOUT_SECONDS = 120.0


@dataclass(slots=True)
class Bench:
    """One pool, fresh sessions on demand."""

    pool: Pool
    seconds: float
    sessions: int = 0

    async def request(self, session: str, path: list[str], siblings: list[str]) -> None:
        order = Order(
            session=session, path=path, siblings=siblings, limits=to_message(LimitSection()), seed=0
        )
        report = await self.pool.execute(order, timeout_seconds=TIMEOUT_SECONDS)
        for outcome in report.outcomes:
            if outcome.exception or outcome.limit:
                raise RuntimeError(f"a bench step failed: {outcome}")

    def session(self) -> str:
        self.sessions += 1
        return f"bench-{self.sessions}"

    async def latency(self, step: str, siblings: int) -> dict[str, float]:
        """Of requests one after the other, on one parked parent."""
        session = self.session()
        await self.request(session, ["a = 1"], [step])

        async def once() -> None:
            await self.request(session, ["a = 1"], [f"{step}\nb = {n}" for n in range(siblings)])

        return await _latency(once, self.seconds)

    async def throughput(self, step: str) -> float:
        """Runs a second: as many searches as there are slots, eight siblings a request."""
        runs, deadline = 0, time.perf_counter() + self.seconds

        async def search() -> None:
            nonlocal runs
            session = self.session()
            while time.perf_counter() < deadline:
                await self.request(session, ["a = 1"], [f"{step}\nb = {n}" for n in range(8)])
                runs += 8

        started = time.perf_counter()
        await asyncio.gather(*(search() for _ in range(self.pool.slots)))
        return runs / (time.perf_counter() - started)

    async def chain(self, *, forked: bool) -> dict[str, float]:
        """Six steps, each on the one before it: its parked state, or the path run again."""

        async def once() -> None:
            session = self.session()
            for index, step in enumerate(CHAIN):
                await self.request(session if forked else self.session(), CHAIN[:index], [step])

        return await _latency(once, self.seconds)


async def _latency(once: Callable[[], Awaitable[None]], seconds: float) -> dict[str, float]:
    samples: list[float] = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(samples) < 3:
        started = time.perf_counter()
        await once()
        samples.append((time.perf_counter() - started) * 1000)
    samples.sort()
    return {
        "p50_ms": round(statistics.median(samples), 1),
        "p90_ms": round(samples[int(0.9 * len(samples))], 1),
        "n": len(samples),
    }


async def _plain(code: str, seconds: float) -> dict[str, float]:
    async def once() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.DEVNULL
        )
        await process.wait()

    return await _latency(once, seconds)


async def measure(settings: SandboxSection, seconds: float) -> dict[str, Any]:
    """All figures."""
    started = time.perf_counter()
    async with prepared(settings) as environment:
        pool = Pool(settings, environment)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(pool.run(stop))
            await pool.ready.wait()
            ready = time.perf_counter() - started
            try:
                figures = await _figures(Bench(pool, seconds))
            finally:
                stop.set()
    return {
        "platform": environment.platform,
        "sandboxes": len(pool.places),
        "slots": pool.slots,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "start_seconds": round(ready, 1),
        **figures,
    }


async def _figures(bench: Bench) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, step in STEPS.items():
        figures[f"{name}_one"] = await bench.latency(step, 1)
        figures[f"{name}_eight_siblings"] = await bench.latency(step, 8)
        figures[f"{name}_runs_per_second"] = round(await bench.throughput(step), 1)
        figures[f"{name}_plain_process"] = await _plain(step, bench.seconds / 2)
    figures["chain_forked"] = await bench.chain(forked=True)
    figures["chain_replayed"] = await bench.chain(forked=False)
    return figures


def main() -> None:
    """Measure, print, end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--sandboxes", type=int, default=0, help="0 means one a core")
    parser.add_argument("--parallel", type=int, default=2, help="runs at one time in a sandbox")
    parser.add_argument("--platform", default="", help="systrap, ptrace or kvm; empty measures")
    arguments = parser.parse_args()
    settings = SandboxSection(
        sandboxes=arguments.sandboxes,
        parallel=arguments.parallel,
        platform=arguments.platform,
    )
    sys.stdout.write(json.dumps(asyncio.run(measure(settings, arguments.seconds))) + "\n")


if __name__ == "__main__":
    main()

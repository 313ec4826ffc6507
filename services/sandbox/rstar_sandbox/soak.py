"""Thousands of steps of every temper, then many clients at once: `python -m rstar_sandbox.soak`.

First `--snippets` valid, raising, looping and hostile steps go through a pool of its own, each
with a known outcome; processes, memory and open files are compared after the first `--warm-up` and
at the end. Then `--clients` callers send steps of their own for `--minutes`, each answer carrying
the caller's mark. One JSON line; the exit status is 1 if anything was lost, crossed or grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rstar_common.errors import Overloaded
from rstar_sandbox.environment import prepared
from rstar_sandbox.limits import to_message
from rstar_sandbox.outcomes import LimitHit, RunOutcome
from rstar_sandbox.pool import Order, Pool
from rstar_sandbox.settings import LimitSection, SandboxSection
from rstar_sandbox.usage import descendants, memory_bytes

LIMITS = LimitSection(wall_seconds=20.0, cpu_seconds=0.5, memory_bytes=2**28)
"""Little CPU, so that loops end soon; much time, since a busy machine gives it slowly."""

TIMEOUT_SECONDS = 240.0
IN_FLIGHT = 4
GROWTH = 1.3
"""More than this, and `SLACK` besides, is a leak. The number of parked interpreters varies."""

SLACK = 40


@dataclass(frozen=True, slots=True)
class Snippet:
    """A step and how it must end."""

    kind: str
    code: str
    ended_well: Callable[[RunOutcome], bool]


def snippet(rng: Random) -> Snippet:
    """Mostly valid; one in ten loops or attacks."""
    n = rng.randrange(10**6)
    return rng.choices(
        [
            Snippet("valid", f"print({n} + 1)", _printed(f"{n + 1}\n")),
            Snippet(
                "valid",
                f"from sympy import *\nx = symbols('x')\nprint(solve(x - {n}, x))",
                _printed(f"[{n}]\n"),
            ),
            Snippet("valid", f"import numpy as np\nprint(int(np.int64({n})))", _printed(f"{n}\n")),
            Snippet("raising", f"v = {n}\nv / 0", _raised("ZeroDivisionError")),
            Snippet("raising", f"import os\nraise KeyError({n})", _raised("KeyError")),
            Snippet("looping", f"n = {n}\nwhile True:\n    n += 1", _limited(LimitHit.CPU)),
            Snippet("hostile", f"print('x' * (10**6 + {n}))", _limited(LimitHit.OUTPUT)),
            Snippet("hostile", f"a = bytearray(2**31 + {n})", _limited(LimitHit.MEMORY)),
            Snippet(
                "hostile",
                f"import os\nn = {n}\nfor pid in range(1, 400):\n"
                "    try:\n        os.kill(pid, 9)\n    except OSError:\n        pass",
                _answered,
            ),
            Snippet(
                "hostile",
                f"import os\nn = {n}\nfor _ in range(50):\n"
                "    if not os.fork():\n        os.setsid()",
                _answered,
            ),
            Snippet("hostile", f"import sys\nsys.exit({n} % 7)", _raised("SystemExit")),
        ],
        weights=[30, 15, 8, 12, 5, 2, 2, 2, 1, 1, 2],
    )[0]


def _printed(text: str) -> Callable[[RunOutcome], bool]:
    return lambda outcome: outcome.stdout == text and not outcome.exception and not outcome.limit


def _raised(kind: str) -> Callable[[RunOutcome], bool]:
    return lambda outcome: outcome.exception is not None and outcome.exception.type == kind


def _limited(limit: LimitHit) -> Callable[[RunOutcome], bool]:
    return lambda outcome: outcome.limit == limit


def _answered(_: RunOutcome) -> bool:
    return True


class Soak:
    """Sends work, counts what comes back."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._pool = pool
        self._rng = Random(seed)
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def snippets(self, count: int) -> None:
        """So many, a few at one time, one to four siblings each."""
        left = count

        async def worker(number: int) -> None:
            nonlocal left
            while left > 0:
                batch = [snippet(self._rng) for _ in range(min(self._rng.randrange(1, 5), left))]
                left -= len(batch)
                await self.send(f"soak-{number}-{left // 40}", batch)

        async with asyncio.TaskGroup() as group:
            for number in range(IN_FLIGHT):
                group.create_task(worker(number))

    async def clients(self, count: int, seconds: float) -> None:
        """Callers at once, each with values that nobody else has."""
        deadline = time.monotonic() + seconds

        async def client(number: int) -> None:
            turn = 0
            while time.monotonic() < deadline:
                turn += 1
                mark = f"{number}-{turn}"
                echo = Snippet("client", f"print(mark, '{mark}')", _printed(f"{mark} {mark}\n"))
                await self.send(f"client-{number}", [echo], path=[f"mark = '{mark}'"])

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(client(number))

    async def send(self, session: str, batch: list[Snippet], path: list[str] | None = None) -> None:
        """A request of one session; asked again for as long as it is refused."""
        codes = [item.code for item in batch]
        order = Order(
            session=session, path=path or [], siblings=codes, limits=to_message(LIMITS), seed=1
        )
        while True:
            try:
                report = await self._pool.execute(order, timeout_seconds=TIMEOUT_SECONDS)
                break
            except Overloaded as error:
                self.counts["refused"] += 1
                await asyncio.sleep(error.retry_after_seconds)
        for item, outcome in zip(batch, report.outcomes, strict=True):
            self.counts[item.kind] += 1
            if not item.ended_well(outcome):
                self.wrong.append(f"{item.code!r}: {outcome}")

    def state(self) -> dict[str, int]:
        """What the sandboxes and we ourselves hold on the host."""
        pids = {pid for root in self._pool.process_ids for pid in descendants(root)}
        return {
            "processes": len(pids),
            "memory_mib": memory_bytes(pids) // 2**20,
            "open_files": sum(_open_files(pid) for pid in pids | {os.getpid()}),
        }


def _open_files(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def _grew(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return [name for name in before if after[name] > GROWTH * before[name] + SLACK]


async def soak(arguments: argparse.Namespace) -> dict[str, Any]:
    """Both parts."""
    settings = SandboxSection(platform=arguments.platform)
    async with prepared(settings) as environment:
        pool = Pool(settings, environment)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(pool.run(stop))
            await pool.ready.wait()
            try:
                return await _run(Soak(pool, arguments.seed), arguments)
            finally:
                stop.set()


async def _run(work: Soak, arguments: argparse.Namespace) -> dict[str, Any]:
    started = time.monotonic()
    await work.snippets(min(arguments.warm_up, arguments.snippets))
    before = work.state()
    await work.snippets(max(0, arguments.snippets - arguments.warm_up))
    after = work.state()
    snippets_seconds = time.monotonic() - started
    await work.clients(arguments.clients, 60 * arguments.minutes)
    final = Snippet("final", "print('healthy')", _printed("healthy\n"))
    for number in range(16):
        await work.send(f"final-{number}", [final])
    return {
        "benchmark": "sandbox-soak",
        "counts": dict(work.counts),
        "snippets_seconds": round(snippets_seconds, 1),
        "after_warm_up": before,
        "after_snippets": after,
        "at_the_end": work.state(),
        "grew": _grew(before, after),
        "wrong": work.wrong[:10],
        "wrong_count": len(work.wrong),
        "cores": os.cpu_count(),
    }


def main() -> None:
    """Soak, print, end."""
    parser = argparse.ArgumentParser(
        prog="python -m rstar_sandbox.soak", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--snippets", type=int, default=10_000)
    parser.add_argument("--warm-up", type=int, default=500, help="snippets before the comparison")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the clients call")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--platform", default="", help="systrap or ptrace; empty measures")
    report = asyncio.run(soak(parser.parse_args()))
    sys.stdout.write(json.dumps(report) + "\n")
    sys.exit(bool(report["grew"] or report["wrong_count"]))


if __name__ == "__main__":
    main()

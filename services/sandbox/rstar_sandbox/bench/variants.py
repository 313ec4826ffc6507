"""The ways to run a step that are compared, behind one protocol."""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from rstar_sandbox.bench.work import program
from rstar_sandbox.bundle import MALLOC, GuestOptions
from rstar_sandbox.container import Container
from rstar_sandbox.limits import to_message
from rstar_sandbox.outcomes import RunsReport
from rstar_sandbox.places import Environment
from rstar_sandbox.pool import Order, Pool
from rstar_sandbox.rootfs import PACKAGES, PYTHON, Rootfs
from rstar_sandbox.settings import LimitSection, SandboxSection

TIMEOUT_SECONDS = 120.0
LIMITS = LimitSection(wall_seconds=60, cpu_seconds=60)
"""A busy machine must not end a measurement, only slow it down."""


class Variant(Protocol):
    """Runs siblings on a path."""

    async def run(self, session: str, path: Sequence[str], siblings: Sequence[str]) -> list[str]:
        """What each printed; all have ended well."""


def order(session: str, path: Sequence[str], siblings: Sequence[str]) -> Order:
    """A request."""
    return Order(session=session, path=path, siblings=siblings, limits=to_message(LIMITS), seed=0)


def printed(report: RunsReport) -> list[str]:
    """Of each sibling. Only work that was done may be counted."""
    for outcome in report.outcomes:
        if outcome.exception or outcome.limit:
            raise RuntimeError(f"a bench step failed: {outcome}")
    return [outcome.stdout for outcome in report.outcomes]


class Sandboxed:
    """The service's own pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, session: str, path: Sequence[str], siblings: Sequence[str]) -> list[str]:
        wanted = order(session, path, siblings)
        return printed(await self._pool.execute(wanted, timeout_seconds=TIMEOUT_SECONDS))


class Bare:
    """As many fork servers as there are sandboxes, without gVisor or any isolation."""

    def __init__(self, servers: Sequence[Container]) -> None:
        self._servers = servers

    async def run(self, session: str, path: Sequence[str], siblings: Sequence[str]) -> list[str]:
        server = self._servers[zlib.crc32(session.encode()) % len(self._servers)]
        message = order(session, path, siblings).to_message(siblings)
        answer = await server.ask(message, timeout_seconds=TIMEOUT_SECONDS)
        return printed(RunsReport.from_message(answer, len(siblings)))


class Processes:
    """A fresh `python -c` a run, at most so many at one time."""

    def __init__(self, rootfs: Rootfs, at_once: int) -> None:
        self._command = python(rootfs)
        self._environment = environment(rootfs)
        self._slots = asyncio.Semaphore(at_once)

    async def run(self, session: str, path: Sequence[str], siblings: Sequence[str]) -> list[str]:
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(self._run(program(path, code))) for code in siblings]
        return [run.result() for run in runs]

    async def _run(self, code: str) -> str:
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                *(self._command, "-c", code),
                env=self._environment,
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            if process.returncode:
                raise RuntimeError("a bench process failed")
            return output.decode()


def python(rootfs: Rootfs) -> str:
    """The guest's own interpreter, run outside."""
    return str(rootfs.root / PYTHON[1:])


def environment(rootfs: Rootfs) -> dict[str, str]:
    """What it needs to find the guest's own packages."""
    return {
        "PYTHONHOME": str(rootfs.root / "usr/local"),
        "PYTHONPATH": str(rootfs.root / PACKAGES[1:]),
        "LD_LIBRARY_PATH": rootfs.library_path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
    }


def guest_options(settings: SandboxSection) -> GuestOptions:
    """As a sandbox of the pool gets them."""
    return GuestOptions(
        parallel=settings.parallel,
        parked=settings.parked,
        parked_bytes=2**62,  # counts the whole machine's memory out here
        prefork=settings.prefork,
        tmp_bytes=2**26,
    )


@asynccontextmanager
async def bare(
    made_of: Environment, settings: SandboxSection, count: int
) -> AsyncGenerator[list[Container]]:
    """Fork servers that are up while the block lasts."""
    rootfs = made_of.rootfs
    variables = environment(rootfs) | MALLOC
    variables["PYTHONPATH"] += f":{Path(__file__).parents[2]}"
    options = json.dumps(asdict(guest_options(settings)))
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(_server(python(rootfs), options, variables, number))
            for number in range(count)
        ]


@asynccontextmanager
async def _server(
    program_path: str, options: str, variables: dict[str, str], number: int
) -> AsyncGenerator[Container]:
    process = await asyncio.create_subprocess_exec(
        *(program_path, "-m", "rstar_sandbox.bench.bare", options),
        env=variables,
        cwd=Path("/"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
    )
    server = Container(f"bare-{number}", process)
    serving = None
    try:
        await server.ready()
        serving = asyncio.create_task(server.serve())
        yield server
    finally:
        server.end()
        await process.wait()
        if serving:
            await serving

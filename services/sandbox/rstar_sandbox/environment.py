"""All that must hold before the first sandbox starts: gVisor, root file system, host settings."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform as host
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from rstar_common.errors import Unavailable
from rstar_sandbox import rootfs as root_file_system
from rstar_sandbox.bundle import GuestOptions
from rstar_sandbox.container import Container, SandboxDied, container
from rstar_sandbox.hugepages import advised_huge_pages
from rstar_sandbox.limits import to_message
from rstar_sandbox.places import Environment
from rstar_sandbox.runsc import cgroup_kind, find_runsc, remove_stale, run_directory
from rstar_sandbox.settings import LimitSection, SandboxSection
from rstar_sandbox.usage import cpu_seconds

logger = logging.getLogger(__name__)

PLATFORMS = ("ptrace", "systrap")
"""Compared when none is set. kvm is taken only when asked for: without nesting it hangs."""

COMPARE_TRIES = 4
"""How often each platform does the same work when they are compared."""

MEASURE_TIMEOUT_SECONDS = 20.0

UNKNOWN = float("inf")
"""CPU seconds of what did not end in time."""

_ORDER = {
    "op": "execute",
    "session": "measure",
    "seed": 0,
    "limits": to_message(LimitSection()),
    # `os` is not plain, so each sibling is forked: that is where platforms differ.
    "path": ["import os, sympy\nx = sympy.Symbol('x')"],
    "siblings": [f"print(sympy.expand((x + {n})**3))" for n in range(8)],
}


@asynccontextmanager
async def prepared(settings: SandboxSection) -> AsyncGenerator[Environment]:
    """Prepare the machine while the block lasts; put back and clean up afterwards.

    Raises:
        Unavailable: gVisor is not installed or does not work here, or the guest's packages
            cannot be installed.
        InvalidInput: naming the setting at fault.
    """
    cache = settings.rootfs_dir.expanduser()
    runs = cache / "runs"
    with run_directory(runs) as directory:
        runsc = await find_runsc(settings.runsc, directory / "state")
        if stale := await remove_stale(settings.runsc, runs):
            logger.warning("cleared what killed services left behind", extra={"count": stale})
        rootfs = await asyncio.to_thread(
            root_file_system.ensure, cache, settings.requirements.expanduser()
        )
        with advised_huge_pages(settings.tune_host) as huge_pages:
            environment = Environment(
                runsc=runsc,
                rootfs=rootfs,
                platform=settings.platform,
                cgroups=cgroup_kind() != "none",
                bundles=directory / "bundles",
            )
            environment = await _choose(environment, cache / "choices.json", huge_pages)
            logger.info(
                "sandboxes can start",
                extra={
                    "sandbox_version": rootfs.version,
                    "platform": environment.platform,
                    "runsc": runsc.version,
                    "cgroups": cgroup_kind() if environment.cgroups else "none",
                    "huge_pages": huge_pages,
                },
            )
            yield environment


async def _choose(environment: Environment, memory: Path, huge_pages: str) -> Environment:
    """Settle platform and control groups: as remembered of this machine, else by trying."""
    facts = [
        *(environment.platform, environment.runsc.version),
        *(host.release(), os.cpu_count(), os.geteuid(), huge_pages, environment.cgroups),
        *_identity(),
    ]
    machine = json.dumps(facts)
    known = _recall(memory)
    if machine not in known:
        platform, cgroups, sure = await _compare(environment)
        known[machine] = platform, cgroups
        if sure:
            partial = memory.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(known))
            partial.rename(memory)
    platform, cgroups = known[machine]
    return replace(environment, platform=platform, cgroups=cgroups)


def _identity() -> list[str]:
    """What tells this machine from another that shares the cache."""
    try:
        number = Path("/etc/machine-id").read_text().strip()
    except OSError:
        number = host.node()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return [number, next((line for line in lines if line.startswith("model name")), "")]


def _recall(memory: Path) -> dict[str, tuple[str, bool]]:
    try:
        known = json.loads(memory.read_text())
        return {str(key): (str(value[0]), bool(value[1])) for key, value in known.items()}
    except (OSError, ValueError, AttributeError, LookupError):
        return {}


async def _compare(environment: Environment) -> tuple[str, bool, bool]:
    """The platform whose runs take least CPU, whether control groups can be had, whether for sure.

    A machine too busy for an answer in time says nothing about platforms: that is not remembered.
    """
    candidates = [environment.platform] if environment.platform else list(PLATFORMS)
    variants = [environment]
    if environment.cgroups:
        variants.append(replace(environment, cgroups=False))
    failures: list[str] = []
    for variant in variants:
        costs = await _measure(variant, candidates, failures)
        if costs:
            logger.info(
                "platforms compared",
                extra={
                    "cpu_seconds_a_try": costs,
                    "cgroups": variant.cgroups,
                    "failures": failures,
                },
            )
            sure = len(costs) == 1 or max(costs.values()) < UNKNOWN
            return min(costs, key=costs.__getitem__), variant.cgroups, sure
    raise Unavailable("gVisor does not work on this machine: " + "; ".join(failures))


async def _measure(
    environment: Environment, platforms: list[str], failures: list[str]
) -> dict[str, float]:
    """CPU seconds of the same forks and runs on each platform that works: the least of some tries.

    CPU time and not the clock, in turns and the least: so a busy machine changes nothing.
    """
    costs: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        boxes = {}
        for platform in platforms:
            try:
                boxes[platform] = await stack.enter_async_context(_box(environment, platform))
            except Unavailable as error:
                failures.append(f"{platform}: {error}")
        for turn in range(COMPARE_TRIES if len(boxes) > 1 else 1):
            for platform, box in boxes.items():
                used = await _cost(box)
                if turn:  # the first builds what the others fork
                    costs[platform] = min(used, costs.get(platform, UNKNOWN))
                else:
                    costs[platform] = UNKNOWN
    return costs


async def _cost(box: Container) -> float:
    before = cpu_seconds(box.pid)
    try:
        await box.ask(_ORDER, timeout_seconds=MEASURE_TIMEOUT_SECONDS)
    except (SandboxDied, TimeoutError):
        return UNKNOWN
    return round(cpu_seconds(box.pid) - before, 3)


def _box(environment: Environment, platform: str) -> AbstractAsyncContextManager[Container]:
    options = GuestOptions(parallel=2, parked=16, parked_bytes=2**29, prefork=1, tmp_bytes=2**20)
    name = f"rstar-{os.getpid()}-{platform}-{'c' if environment.cgroups else 'n'}"
    return container(
        environment.runsc,
        environment.rootfs,
        options,
        sandbox_id=name,
        bundles=environment.bundles,
        platform=platform,
        memory_bytes=2**30,
        cgroups=environment.cgroups,
    )

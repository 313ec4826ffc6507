"""All that must hold before the first sandbox starts: gVisor, root file system, host settings."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform as host
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from rstar_common.errors import Unavailable
from rstar_sandbox import rootfs as root_file_system
from rstar_sandbox.bundle import GuestOptions
from rstar_sandbox.container import SandboxDied, container
from rstar_sandbox.hugepages import advised_huge_pages
from rstar_sandbox.limits import to_message
from rstar_sandbox.places import Environment
from rstar_sandbox.runsc import cgroup_kind, find_runsc, remove_stale, run_directory
from rstar_sandbox.settings import LimitSection, SandboxSection

logger = logging.getLogger(__name__)

PLATFORMS = ("ptrace", "systrap")
"""Compared when none is set. kvm is taken only when asked for: without nesting it hangs."""

COMPARE_SECONDS = 1.0
"""How long each platform runs steps when they are compared."""

MEASURE_TIMEOUT_SECONDS = 20.0


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
    ]
    machine = json.dumps(facts)
    known = _recall(memory)
    if machine not in known:
        known[machine] = await _compare(environment)
        partial = memory.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(known))
        partial.rename(memory)
    platform, cgroups = known[machine]
    return replace(environment, platform=platform, cgroups=cgroups)


def _recall(memory: Path) -> dict[str, tuple[str, bool]]:
    try:
        known = json.loads(memory.read_text())
        return {str(key): (str(value[0]), bool(value[1])) for key, value in known.items()}
    except (OSError, ValueError, AttributeError, LookupError):
        return {}


async def _compare(environment: Environment) -> tuple[str, bool]:
    """The platform with most runs a second, and whether control groups can be had."""
    candidates = [environment.platform] if environment.platform else list(PLATFORMS)
    variants = [environment]
    if environment.cgroups:
        variants.append(replace(environment, cgroups=False))
    failures = []
    for variant in variants:
        rates = {}
        for platform in candidates:
            try:
                rates[platform] = await _measure(replace(variant, platform=platform))
            except (Unavailable, SandboxDied) as error:
                failures.append(f"{platform}: {error}")
        if rates:
            logger.info(
                "platforms compared",
                extra={"runs_per_second": rates, "cgroups": variant.cgroups, "failures": failures},
            )
            return max(rates, key=rates.__getitem__), variant.cgroups
    raise Unavailable("gVisor does not work on this machine: " + "; ".join(failures))


async def _measure(environment: Environment) -> float:
    """Runs a second: siblings that compute a little on a parked parent."""
    options = GuestOptions(parallel=2, parked=16, parked_bytes=2**29, prefork=1, tmp_bytes=2**20)
    name = f"rstar-{os.getpid()}-{environment.platform}-{'c' if environment.cgroups else 'n'}"
    async with container(
        environment.runsc,
        environment.rootfs,
        options,
        sandbox_id=name,
        bundles=environment.bundles,
        platform=environment.platform,
        memory_bytes=2**30,
        cgroups=environment.cgroups,
    ) as box:
        order = {
            "op": "execute",
            "session": "measure",
            "seed": 0,
            "limits": to_message(LimitSection()),
            "path": ["import sympy\nx = sympy.Symbol('x')"],
            "siblings": ["print(sympy.expand((x + 1)**3))"] * 4,
        }
        await box.ask(order, timeout_seconds=MEASURE_TIMEOUT_SECONDS)
        started, runs = time.monotonic(), 0
        while time.monotonic() - started < COMPARE_SECONDS:
            try:
                await box.ask(order, timeout_seconds=MEASURE_TIMEOUT_SECONDS)
            except TimeoutError as error:
                raise SandboxDied("it is too slow to be of use") from error
            runs += 4
        return runs / (time.monotonic() - started)

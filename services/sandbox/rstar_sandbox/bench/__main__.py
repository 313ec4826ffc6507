"""`python -m rstar_sandbox.bench`: all figures as one JSON line.

Starts sandboxes of its own on this machine. Every figure is of whole requests as the pool sees
them, gRPC apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import repeat
from typing import Any

from rstar_sandbox.bench.figures import (
    chains,
    forked_prints,
    in_turns,
    latencies,
    throughput,
    while_memory_grows,
)
from rstar_sandbox.bench.floor import fork_floor
from rstar_sandbox.bench.footprint import start_ms, takeover_ms
from rstar_sandbox.bench.variants import Bare, Processes, Sandboxed, Variant, bare
from rstar_sandbox.bench.work import FORKED_PARENT, PLAIN_PARENT, STEPS
from rstar_sandbox.environment import prepared
from rstar_sandbox.places import Environment, new_container
from rstar_sandbox.pool import Pool
from rstar_sandbox.settings import SandboxSection
from rstar_sandbox.usage import descendants, memory_bytes

CHAIN_SECONDS = 4
"""For chains, of the time of the other figures: a chain is six requests and few are noise."""

STARTS = 5
"""Sandboxes started for each restart time."""


async def measure(settings: SandboxSection, seconds: float) -> dict[str, Any]:
    """All figures."""
    load_before = os.getloadavg()[0]
    async with prepared(settings) as environment, running(Pool(settings, environment)) as pool:
        figures = await _figures(pool, settings, environment, seconds)
    return {
        "benchmark": "sandbox",
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "load_average_before": round(load_before, 1),
        },
        "platform": environment.platform,
        "sandboxes": len(pool.places),
        "slots": pool.slots,
        "sandbox_version": pool.version,
        **figures,
    }


async def _figures(
    pool: Pool, settings: SandboxSection, environment: Environment, seconds: float
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    processes = Processes(environment.rootfs, pool.slots)
    async with bare(environment, settings, len(pool.places)) as servers:
        variants: dict[str, Variant] = {"gvisor": Sandboxed(pool), "bare": Bare(servers)}
        places = settings.parked * len(pool.places)
        figures["print_one_while_memory_grows"] = {
            f"{name}_forked": await while_memory_grows(await forked_prints(variant, places))
            for name, variant in variants.items()
        }
        for name, step in STEPS.items():
            for count, label in ((1, "one"), (8, "eight_siblings")):
                figures[f"{name}_{label}"] = await latencies(
                    variants, processes, step, count, seconds
                )
            figures[f"{name}_runs_per_second"] = await throughput(
                {
                    "gvisor": (variants["gvisor"], PLAIN_PARENT),
                    "gvisor_forked": (variants["gvisor"], FORKED_PARENT),
                    "bare": (variants["bare"], PLAIN_PARENT),
                    "bare_forked": (variants["bare"], FORKED_PARENT),
                    "process": (processes, PLAIN_PARENT),
                },
                step,
                pool.slots,
                seconds,
            )
        subjects = chains(variants, processes)
        figures["chain_of_six_while_memory_grows"] = {
            f"{name}_kept": await while_memory_grows(repeat(subjects[f"{name}_kept"], places))
            for name in variants
        }
        figures["chain_of_six"] = await in_turns(subjects, seconds * CHAIN_SECONDS)
        figures["fork_alone"] = await fork_floor(variants | {"process": processes})
        figures["memory_mib"] = {
            "gvisor_a_sandbox": _share(pool.process_ids, len(pool.places)),
            "gvisor_standing_by": _share([pool.standby.process_id], 1),
            "bare_a_server": _share([server.pid for server in servers], len(servers)),
        }
    figures["restart_ms"] = await _restarts(pool, settings, environment)
    figures["ratios"] = _ratios(figures)
    return figures


async def _restarts(
    pool: Pool, settings: SandboxSection, environment: Environment
) -> dict[str, Any]:
    """Each way to a sandbox that answers, nothing else going on."""
    figures = {"cold": await start_ms(lambda: new_container(settings, environment), STARTS)}
    if image := pool.checkpoint.image:
        figures["restored"] = await start_ms(
            lambda: new_container(settings, environment, image), STARTS
        )
    apart = replace(environment, bundles=environment.bundles.parent / "lone" / "bundles")
    async with running(Pool(settings.model_copy(update={"sandboxes": 1}), apart)) as lone:
        figures["standing_by"] = await takeover_ms(lone, STARTS)
    return figures


@asynccontextmanager
async def running(pool: Pool) -> AsyncGenerator[Pool]:
    """A pool that is up while the block lasts."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(pool.run(stop))
        await pool.ready.wait()
        try:
            yield pool
        finally:
            stop.set()


def _share(pids: list[int], count: int) -> float:
    everyone = {pid for root in pids for pid in descendants(root)}
    return round(memory_bytes(everyone) / 2**20 / count, 1)


def _ratios(figures: dict[str, Any]) -> dict[str, float]:
    def ratio(group: str, above: str, below: str) -> float:
        return round(float(figures[group][above]["p50_ms"] / figures[group][below]["p50_ms"]), 3)

    ratios = {}
    for name in STEPS:
        ratios[f"{name}_to_bare"] = ratio(f"{name}_one", "gvisor", "bare")
        ratios[f"{name}_forked_to_bare_forked"] = ratio(
            f"{name}_one", "gvisor_forked", "bare_forked"
        )
        rates = figures[f"{name}_runs_per_second"]
        ratios[f"{name}_throughput_to_process"] = round(rates["gvisor"] / rates["process"], 2)
        ratios[f"{name}_forked_throughput_to_process"] = round(
            rates["gvisor_forked"] / rates["process"], 2
        )
    inside, outside = (figures["fork_alone"][name] for name in ("gvisor", "bare"))
    for child in inside:
        ratios[f"fork_alone_{child}_to_bare"] = round(inside[child] / outside[child], 2)
    ratios["chain_kept_while_memory_grows_to_replayed"] = round(
        figures["chain_of_six_while_memory_grows"]["gvisor_kept"]["p50_ms"]
        / figures["chain_of_six"]["gvisor_replayed"]["p50_ms"],
        3,
    )
    for way in ("kept", "forked"):
        ratios[f"chain_{way}_to_replayed"] = ratio(
            "chain_of_six", f"gvisor_{way}", "gvisor_replayed"
        )
    return ratios


def main() -> None:
    """Measure, print, end."""
    parser = argparse.ArgumentParser(
        prog="python -m rstar_sandbox.bench", description=(__doc__ or "").splitlines()[0]
    )
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

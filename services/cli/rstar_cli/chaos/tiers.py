"""What stands behind the searchers: simulated services, or the real ones.

Simulated services wait instead of working and always answer alike, so that a tree can be
compared with that of an undisturbed search. They are `rstar_searcher.bench.swapping_servers`:
this module knows its name and arguments.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rstar_cli.chaos.units import Unit
from rstar_cli.local.ports import HOST, free_ports, until_open
from rstar_cli.local.process import Command, program
from rstar_common.errors import InvalidInput

TIERS = ("policy", "ppm", "sandbox")

SIMULATED_SECONDS = 10
"""Pass in one real second."""

_ROUND_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """Programs and who of them serves what."""

    units: tuple[Unit, ...]
    ports: Mapping[str, int]
    """By tier."""

    question: Callable[[int], str]
    """The question of a problem by its number."""

    same_trees: bool
    """Whether a search that is repeated finds the same tree."""

    swaps: bool
    """Whether the PPM takes another version at SIGUSR1."""


def simulated_tiers(directory: Path, *, apart: bool) -> Tiers:
    """Simulated services, each in a process of its own or all in one."""
    names = TIERS if apart else ("services",)
    ports = free_ports(len(names))
    units = tuple(
        Unit(simulated_command(directory, name, port), partial(until_open, port))
        for name, port in zip(names, ports, strict=True)
    )
    return Tiers(
        units=units,
        ports=dict(zip(TIERS, ports if apart else ports * len(TIERS), strict=True)),
        question=lambda pid: f"problem {pid} of the simulated world?",
        same_trees=True,
        swaps=apart,
    )


def simulated_command(directory: Path, name: str, port: int, *, version: str = "1") -> Command:
    """Simulated services on `port`, their PPM in `version`."""
    return Command(
        name=name,
        argv=(
            *(sys.executable, "-m", "rstar_searcher.bench.swapping_servers", "--port", str(port)),
            *("--scale", str(SIMULATED_SECONDS), "--version", version),
        ),
        log=directory / f"{name}.log",
    )


def next_version(command: Command) -> Command:
    """Simulated services whose PPM is a version further."""
    *others, version = command.argv
    return replace(command, argv=(*others, str(int(version) + 1)))


def of_release(command: Command, checkout: Path) -> Command:
    """A service of ours as another checkout has it, in this environment.

    Raises:
        InvalidInput: there is no checkout.
    """
    sources = [checkout / "proto" / "gen", *sorted((checkout / "services").glob("*"))]
    if len(sources) == 1:
        raise InvalidInput(f"no checkout in {checkout}", field="--release")
    path = os.pathsep.join(map(str, sources))
    return replace(command, environment={**command.environment, "PYTHONPATH": path})


def local_tiers(directory: Path, *, ppm_model: str) -> Tiers:
    """Random programs, a PPM of the bundled models and gVisor: what one machine really runs."""
    settings = {
        "policy": {"ENGINE": "bootstrap", "CACHE_DIR": str(directory / "policy")},
        "ppm": {"MODEL": ppm_model, "CACHE_DIR": str(directory / "ppm")},
        "sandbox": {},
    }
    ports = dict(zip(TIERS, free_ports(len(TIERS)), strict=True))
    return Tiers(
        units=tuple(service(directory, name, ports[name], settings[name]) for name in TIERS),
        ports=ports,
        question=lambda pid: f"Solve {pid + 2}*x = {5 * (pid + 2)} for x.",
        same_trees=False,
        swaps=False,
    )


def service(directory: Path, name: str, port: int, settings: Mapping[str, str]) -> Unit:
    """A service of ours on `port`; its name ends in a number where there are several."""
    kind = name.rstrip("0123456789")
    prefix = f"RSTAR_{kind.upper()}_"
    address = f"{HOST}:{port}"
    command = Command(
        name=name,
        argv=(program(f"rstar-{kind}"),),
        environment={
            f"{prefix}GRPC__ADDRESS": address,
            f"{prefix}TELEMETRY__METRICS_ADDRESS": "",
            **{f"{prefix}{key}": value for key, value in settings.items()},
        },
        log=directory / f"{name}.log",
    )
    return Unit(command, lambda: serving(address))


async def serving(address: str) -> None:
    """Return once the service's health says so; bound it with a timeout."""
    async with grpc.aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                reply = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.aio.AioRpcError:
                pass
            # Health's own Watch ends with the server, which may just be starting again.
            await asyncio.sleep(_ROUND_SECONDS)


def named(units: Sequence[Unit]) -> dict[str, Unit]:
    """By name."""
    return {unit.name: unit for unit in units}

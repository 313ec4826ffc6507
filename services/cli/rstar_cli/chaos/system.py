"""A whole system for chaos alone: real NATS, a real store, searchers, and proxies in between.

Every searcher reaches everything through proxies of its own, so that one of them can be cut
off, or one thing from all of them. What chaos itself asks goes past the proxies.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nats.js import JetStreamContext

from rstar_cli.chaos.disks import Disks, small_disks
from rstar_cli.chaos.proxy import Proxy
from rstar_cli.chaos.skew import wrong_clock
from rstar_cli.chaos.tiers import TIERS, Tiers, named, service
from rstar_cli.chaos.units import Unit
from rstar_cli.local.nats import nats_command, nats_ready, nats_settings
from rstar_cli.local.plan import STACK_MARK, UNIT_MARK, connection_environment
from rstar_cli.local.ports import HOST, free_ports
from rstar_cli.local.process import Command
from rstar_cli.local.s3 import PORTS, s3_command, s3_ready, s3_settings
from rstar_common import streams
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected
from rstar_common.errors import Unavailable

SEARCHERS = ("searcher1", "searcher2")
FOUNDATIONS = ("nats", "store")
PLACES = 4
"""Queued problems that one searcher searches at once."""

SHORT = {
    "LEASE_SECONDS": "2",
    "NATS__ACK_WAIT_SECONDS": "3",
    "MAX_BATCH_SEARCHES": str(PLACES),
    "DEFAULTS": json.dumps({"max_wall_seconds": 600, "max_trajectory_tokens": 65_536}),
}
"""Short waits, so that many faults fit into a run; budgets that no fault uses up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What faults act on and checks ask."""

    directory: Path
    mark: str
    """Of its processes, in their environment."""

    units: Mapping[str, Unit]
    proxies: Mapping[tuple[str, str], Proxy]
    """By searcher and by what it reaches through it."""

    tiers: Tiers
    jetstream: JetStreamContext
    store: ObjectStore
    disks: Disks | None
    wrong_clock: Path | None
    held_seconds: float
    """How long pauses and bad networks last."""

    release: Path | None
    """Another checkout, whose services are to work beside ours."""

    missing: Mapping[str, str]
    """What this machine does not allow, and why."""

    def links(self, name: str) -> list[Proxy]:
        """The proxies on every way to or from a unit."""
        return [proxy for ends, proxy in self.proxies.items() if name in ends]

    def real(self, name: str) -> bool:
        """Whether a tier is the service itself, and not simulated."""
        return name in self.units and not self.tiers.same_trees

    def data(self, name: str) -> Path:
        """Where NATS or the store keeps its data."""
        return self.directory / name / {"nats": "jetstream", "store": "data"}[name]


VOLUME_MB = 16

HELD_SECONDS = 6.0
"""How long pauses and bad networks last: three leases, two acknowledgement waits."""

MakeTiers = Callable[[Path], Tiers]


@asynccontextmanager
async def system(
    directory: Path,
    make_tiers: MakeTiers,
    *,
    extras: bool = True,
    minutes: float = 0.0,
    held_seconds: float = HELD_SECONDS,
    release: Path | None = None,
) -> AsyncGenerator[System]:
    """Everything started and ready; ended with the block.

    Without `extras` there are neither small disks nor wrong clocks. Disks have room for so many
    `minutes` of waves.
    """
    mark = secrets.token_hex(8)
    tiers = make_tiers(directory)
    missing: dict[str, str] = {}
    nats_port, *store_ports = free_ports(1 + PORTS)
    password, access_key = secrets.token_hex(16), secrets.token_hex(8)
    bus_settings = nats_settings(nats_port, "rstar", password)
    store_settings = s3_settings(store_ports[0], access_key, password)
    nats = nats_command(directory / "nats", port=nats_port, user="rstar", password=password)
    store = s3_command(
        directory / "store", ports=store_ports, access_key=access_key, secret_key=password
    )
    # A volume takes its full size of what is free: few would fit on a small disk.
    store = replace(
        store, name="store", argv=(*store.argv, f"-master.volumeSizeLimitMB={VOLUME_MB}")
    )
    async with AsyncExitStack() as stack:
        disks, library = None, None
        if extras:
            try:
                data = [directory / "nats" / "jetstream", directory / "store" / "data"]
                disks = await stack.enter_async_context(small_disks(data, minutes=minutes))
                nats, store = disks.inside(nats), disks.inside(store)
            except Unavailable as error:
                missing["full disk"] = str(error)
            try:
                library = await wrong_clock(directory)
            except Unavailable as error:
                missing["wrong clock"] = str(error)
        foundations = (
            Unit(nats, lambda: nats_ready(bus_settings)),
            Unit(store, lambda: s3_ready(store_settings)),
        )
        await _run(stack, (*foundations, *tiers.units), mark)
        upstream = {**tiers.ports, "nats": nats_port, "store": store_ports[0]}
        proxies = {
            (searcher, name): await stack.enter_async_context(Proxy(port).serving())
            for searcher in SEARCHERS
            for name, port in upstream.items()
        }
        searchers = []
        for name in SEARCHERS:
            reach = {to: proxies[name, to].port for to in upstream}
            unit = service(directory, name, free_ports(1)[0], _searcher_settings(reach))
            near_nats = bus_settings.model_copy(
                update={"servers": [f"nats://{HOST}:{reach['nats']}"]}
            )
            near_store = store_settings.model_copy(
                update={"endpoint": f"http://{HOST}:{reach['store']}"}
            )
            unit.command = _with(
                unit.command, connection_environment("searcher", near_nats, near_store)
            )
            searchers.append(unit)
        await _run(stack, searchers, mark)
        bus = await stack.enter_async_context(connected(bus_settings, name="chaos"))
        await streams.ensure_topology(bus.jetstream())
        yield System(
            directory=directory,
            mark=mark,
            units=named((*foundations, *tiers.units, *searchers)),
            proxies=proxies,
            tiers=tiers,
            jetstream=bus.jetstream(),
            store=ObjectStore(store_settings),
            disks=disks,
            wrong_clock=library,
            held_seconds=held_seconds,
            release=release,
            missing=missing,
        )


async def _run(stack: AsyncExitStack, units: Sequence[Unit], mark: str) -> None:
    for unit in units:
        unit.command = _with(unit.command, {STACK_MARK: mark, UNIT_MARK: unit.name})
        stack.push_async_callback(unit.end)
    try:
        async with asyncio.TaskGroup() as group:
            for unit in units:
                group.create_task(unit.begin())
    except ExceptionGroup as failed:  # the first that does not serve is enough to know
        raise failed.exceptions[0] from failed


def _with(command: Command, environment: Mapping[str, str]) -> Command:
    return replace(command, environment={**command.environment, **environment})


def _searcher_settings(reach: Mapping[str, int]) -> dict[str, str]:
    addresses = {f"{tier.upper()}_ADDRESS": f"{HOST}:{reach[tier]}" for tier in TIERS}
    return {**SHORT, **addresses}

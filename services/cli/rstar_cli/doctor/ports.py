"""Whether the stack's ports are its own: free before it starts, answering once it runs."""

from __future__ import annotations

import asyncio

from rstar_cli.connection import Endpoints
from rstar_cli.doctor.finding import Finding, fault, faults_or
from rstar_cli.local.ports import is_free
from rstar_cli.local.stack import UnitView
from rstar_cli.local.state import StackState
from rstar_common.errors import Unavailable
from rstar_common.net import split_address

CHECK = "ports"
_SECONDS = 3.0


def check_stopped(state: StackState | None) -> list[Finding]:
    """Of a stack that is to be started: nobody else listens where it will."""
    if state is None:
        return faults_or([], CHECK, "none chosen yet; `rstar up` takes free ones")
    names = ["nats", *(name for name in state.ports if name.startswith("s3")), *state.services]
    wanted = [*names, *(f"{service}_metrics" for service in state.services)]
    found = [
        fault(
            CHECK,
            f"port {state.ports[name]} of {name} is taken by another program",
            f"find it with: ss -ltnp 'sport = :{state.ports[name]}'; end it, or move the state "
            "directory away for new ports",
        )
        for name in wanted
        if not is_free(state.ports[name])
    ]
    return faults_or(found, CHECK, f"{len(wanted)} ports are free")


def check_running(units: list[UnitView]) -> list[Finding]:
    """Of a stack that runs: every unit answers where it should."""
    found = [
        fault(
            CHECK,
            f"{unit.name} is {unit.state} and does not answer on {unit.address}",
            f"read the end of logs/{unit.name}.log in the state directory",
        )
        for unit in units
        if unit.state != "serving"
    ]
    return faults_or(found, CHECK, f"{len(units)} units answer")


async def check_remote(where: Endpoints) -> list[Finding]:
    """Of a system elsewhere: its addresses take connections."""
    addresses = {"RSTAR_CLI_SEARCHER": where.searcher}
    for name in ("sandbox", "trainer"):
        try:
            addresses[f"RSTAR_CLI_{name.upper()}"] = getattr(where, name)
        except Unavailable:  # not named, and no local stack to fall back to
            continue
    found = [
        fault(
            CHECK,
            f"nobody answers on {address}",
            f"check {variable}, the service behind it and the network between",
        )
        for variable, address in addresses.items()
        if not await _connects(address)
    ]
    return faults_or(found, CHECK, f"{', '.join(addresses.values())} take connections")


async def _connects(address: str) -> bool:
    host, port = split_address(address, field="address")
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return True

"""One machine's services with certificates, client certificates and tokens demanded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rstar_cli.authority import Authority
from rstar_cli.fuzz.callers import CLIENT, THIEF
from rstar_cli.local.nats import nats_ready
from rstar_cli.local.plan import Unit, plan
from rstar_cli.local.s3 import s3_ready
from rstar_cli.local.state import StackOptions, StackState, create
from rstar_cli.local.supervisor import Supervisor
from rstar_common.config import PeerSettings
from rstar_common.errors import Unavailable
from rstar_common.rpc import channel
from rstar_common.tokens import SERVICE

START_SECONDS = 240.0
DAYS = 1


@dataclass(frozen=True, slots=True)
class SecuredSystem:
    """A system that runs."""

    home: Path
    state: StackState
    authority: Authority

    def address(self, tier: str) -> str:
        """Where a tier answers."""
        return self.state.address("searcher1" if tier == "searcher" else tier)

    @property
    def tiers(self) -> list[str]:
        """Its tiers that answer gRPC."""
        return sorted({name.rstrip("0123456789") for name in self.state.services})

    def secrets(self) -> dict[str, str]:
        """Its private keys, each by whose it is."""
        return {
            f"{key.stem}/key": key.read_text().splitlines()[1]
            for key in self.authority.directory.glob("*.key")
        }

    def restarts(self) -> dict[str, int]:
        """How often each program was started again."""
        report = json.loads((self.home / "supervisor.json").read_text())
        return {name: unit["restarts"] for name, unit in report["units"].items()}

    def logged(self, *words: str) -> list[str]:
        """Lines of any log that hold one of `words`."""
        return [
            f"{log.stem}: {line[:300]}"
            for log in sorted((self.home / "logs").glob("*.log*"))
            for line in log.read_text(errors="replace").splitlines()
            if any(word in line for word in words)
        ]


def peer(authority: Authority, name: str) -> PeerSettings:
    """How a client that holds the certificate `name` calls."""
    return PeerSettings(
        ca=str(authority.path("ca", "pem")),
        certificate=str(authority.path(name, "pem")),
        key=str(authority.path(name, "key")),
    )


@asynccontextmanager
async def secured_system(home: Path) -> AsyncGenerator[SecuredSystem]:
    """Start every service, demanding of callers all that it can.

    Raises:
        Unavailable: one did not come up.
    """
    authority = Authority.create(home / "keys")
    state = create(home, StackOptions(policy="bootstrap"))
    for name in (*state.services, CLIENT, THIEF):
        authority.issue(name, ["127.0.0.1"], days=DAYS)
    units = [_secured(unit, authority) for unit in plan(state, home)]

    async def foundations() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(nats_ready(state.nats))
            group.create_task(s3_ready(state.object_store))

    stop = asyncio.Event()
    system = SecuredSystem(home, state, authority)
    async with asyncio.TaskGroup() as group:
        group.create_task(Supervisor(units, home, foundations_ready=foundations).run(stop))
        try:
            await serving(system)
            yield system
        finally:
            stop.set()


def _secured(unit: Unit, authority: Authority) -> Unit:
    if unit.stage == 0:
        return unit
    prefix = f"RSTAR_{unit.name.rstrip('0123456789').upper()}_"
    own = {
        "GRPC__CERTIFICATE": authority.path(unit.name, "pem"),
        "GRPC__KEY": authority.path(unit.name, "key"),
        "GRPC__CLIENT_CA": authority.path("ca", "pem"),
        "GRPC__TOKEN_KEYS": authority.path("tokens", "pub"),
        "GRPC__DRAIN_SECONDS": 1,
        "PEERS__CA": authority.path("ca", "pem"),
        "PEERS__CERTIFICATE": authority.path(unit.name, "pem"),
        "PEERS__KEY": authority.path(unit.name, "key"),
        "PEERS__TOKEN": authority.token(
            unit.name, [SERVICE], seconds=DAYS * 86_400.0, bound_to=unit.name
        ),
    }
    environment: Mapping[str, str] = {
        **unit.command.environment,
        **{f"{prefix}{name}": str(value) for name, value in own.items()},
    }
    return replace(unit, command=replace(unit.command, environment=environment))


@asynccontextmanager
async def channels(
    system: SecuredSystem,
) -> AsyncGenerator[dict[tuple[str, str], grpc.aio.Channel]]:
    """A channel of each certificate to each tier."""
    async with AsyncExitStack() as stack:
        yield {
            (name, tier): await stack.enter_async_context(
                channel(system.address(tier), peer(system.authority, name))
            )
            for name in (CLIENT, THIEF)
            for tier in system.tiers
        }


async def serving(system: SecuredSystem, *, seconds: float = START_SECONDS) -> None:
    """Return once every service says that it serves.

    Raises:
        Unavailable: one does not, within `seconds`.
    """
    waiting = ""
    try:
        async with asyncio.timeout(seconds), channels(system) as wires:
            for tier in system.tiers:
                waiting = tier
                health: Any = health_pb2_grpc.HealthStub(wires[CLIENT, tier])
                while True:
                    if await _healthy(health):
                        break
                    # A program that is being started, or started again, has no event for us.
                    await asyncio.sleep(0.25)
    except TimeoutError as error:
        raise Unavailable(f"{waiting} does not serve; see {system.home / 'logs'}") from error


async def _healthy(health: Any) -> bool:
    try:
        reply = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    except grpc.aio.AioRpcError:
        return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

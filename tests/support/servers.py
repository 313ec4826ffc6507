"""Start the real thing on free loopback ports, wait until it answers, stop it.

Nothing here is a fake: nats-server and SeaweedFS come from their wheels, services are
their console scripts. Everything ends with the block, whatever happens in it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rstar_cli.local.nats import nats_command, nats_ready, nats_settings
from rstar_cli.local.plan import connection_environment
from rstar_cli.local.ports import HOST, free_ports
from rstar_cli.local.process import Command, program, start, stop, tail
from rstar_cli.local.s3 import PORTS, s3_command, s3_ready, s3_settings
from rstar_common.config import NatsSettings, ObjectStoreSettings

STOP_SECONDS = 15.0


@asynccontextmanager
async def running(
    command: Command, *, grace_seconds: float = STOP_SECONDS
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A process for the length of the block."""
    process = await start(command)
    try:
        yield process
    finally:
        await stop(process, grace_seconds=grace_seconds)


@asynccontextmanager
async def nats_server(directory: Path, *, port: int = 0) -> AsyncGenerator[NatsSettings]:
    """A private nats-server with JetStream; give `port` to start one again in its place."""
    port = port or free_ports(1)[0]
    user, password = "rstar", "for-tests-only"
    settings = nats_settings(port, user, password)
    command = nats_command(directory, port=port, user=user, password=password)
    async with running(command):
        await nats_ready(settings)
        yield settings


@asynccontextmanager
async def object_store(
    directory: Path, *, grace_seconds: float = 0.0
) -> AsyncGenerator[ObjectStoreSettings]:
    """A private S3 server with one bucket.

    It takes seconds to end as it should, which only matters to those who start it again: they
    say so.
    """
    ports = free_ports(PORTS)
    access_key, secret_key = secrets.token_hex(8), secrets.token_hex(16)
    settings = s3_settings(ports[0], access_key, secret_key)
    command = s3_command(directory, ports=ports, access_key=access_key, secret_key=secret_key)
    async with running(command, grace_seconds=grace_seconds):
        await s3_ready(settings)
        yield settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running service of ours."""

    name: str
    address: str
    metrics_url: str
    process: asyncio.subprocess.Process
    log: Path

    def log_tail(self, lines: int = 20) -> str:
        """For the message of a failed assertion."""
        return "\n".join(tail(self.log, lines=lines))


@asynccontextmanager
async def service(
    name: str,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    *,
    nats: NatsSettings | None = None,
    store: ObjectStoreSettings | None = None,
    ready_seconds: float = 180.0,
    port: int = 0,
) -> AsyncGenerator[Service]:
    """The console script `rstar-NAME` on free ports, once its health says SERVING."""
    grpc_port, metrics_port = free_ports(2)
    address = f"{HOST}:{port or grpc_port}"
    prefix = f"RSTAR_{name.upper()}_"
    command = Command(
        name=name,
        argv=(program(f"rstar-{name}"),),
        environment={
            f"{prefix}GRPC__ADDRESS": address,
            f"{prefix}TELEMETRY__METRICS_ADDRESS": f"{HOST}:{metrics_port}",
            **connection_environment(name, nats, store),
            **(environment or {}),
        },
        log=directory / f"{name}-{grpc_port}.log",
    )
    async with running(command) as process:
        running_service = Service(
            name=name,
            address=address,
            metrics_url=f"http://{HOST}:{metrics_port}/metrics",
            process=process,
            log=command.log,
        )
        await _serving(running_service, ready_seconds)
        yield running_service


async def _serving(service: Service, seconds: float) -> None:
    async with grpc.aio.insecure_channel(service.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        check = asyncio.create_task(_until_serving(health))
        died = asyncio.create_task(service.process.wait())
        await asyncio.wait({check, died}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ok = check.done() and not check.cancelled()
        for task in (check, died):
            task.cancel()
        await asyncio.gather(check, died, return_exceptions=True)
    if not ok:
        how = f"exit status {service.process.returncode}"
        raise RuntimeError(f"rstar-{service.name} did not serve ({how}):\n{service.log_tail()}")


async def _until_serving(health: Any) -> None:  # the stubs give HealthStub no methods
    while True:
        try:
            reply = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        except grpc.aio.AioRpcError:
            reply = health_pb2.HealthCheckResponse()
        if reply.status == health_pb2.HealthCheckResponse.SERVING:
            return
        # Health's own Watch ends with the server; a starting one may restart.
        await asyncio.sleep(0.1)

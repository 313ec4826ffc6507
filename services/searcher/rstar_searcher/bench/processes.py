"""What a searcher needs around it, as processes of this run alone: NATS, S3, services.

Everything is on loopback, in one temporary directory, and ends with the block.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc
import nats
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from rstar_common.artifacts import ObjectStore
from rstar_common.config import ObjectStoreSettings
from rstar_common.errors import Unavailable

HOST = "127.0.0.1"
READY_SECONDS = 90.0
POLL_SECONDS = 0.1
STOP_SECONDS = 15.0
S3_PORTS = ("s3", "filer", "master", "volume", "admin")


@asynccontextmanager
async def process(
    argv: Sequence[str], *, log: Path, environment: Mapping[str, str], output: int | None = None
) -> AsyncGenerator[Process]:
    """Run a program for the length of the block; its log keeps what it says."""
    with log.open("ab") as file:
        child = await asyncio.create_subprocess_exec(
            *argv,
            env={**os.environ, **environment},
            stdin=DEVNULL,
            stdout=output or file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


@asynccontextmanager
async def infrastructure(directory: Path) -> AsyncGenerator[dict[str, str]]:
    """NATS and S3; yields settings without their service's prefix."""
    [nats_port, *s3_ports] = free_ports(1 + 2 * len(S3_PORTS))
    access_key, secret_key = secrets.token_hex(8), secrets.token_hex(16)
    store = ObjectStoreSettings(
        endpoint=f"http://{HOST}:{s3_ports[0]}",
        bucket="rstar",
        access_key=SecretStr(access_key),
        secret_key=SecretStr(secret_key),
    )
    ports = [
        f"-{name}.port{suffix}={port}"
        for (name, suffix), port in zip(
            ((name, suffix) for name in S3_PORTS for suffix in ("", ".grpc")),
            s3_ports,
            strict=True,
        )
    ]
    (directory / "s3").mkdir(parents=True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            process(
                [
                    *(_program("nats-server"), "-a", HOST, "-p", str(nats_port)),
                    *("-js", "-sd", str(directory / "jetstream")),
                ],
                log=directory / "nats.log",
                environment={},
            )
        )
        await stack.enter_async_context(
            process(
                [
                    *(_program("weed"), f"-logdir={directory}", "mini"),
                    *(f"-dir={directory / 's3'}", f"-ip={HOST}", f"-ip.bind={HOST}"),
                    *("-master.telemetry=false", "-webdav=false", "-admin.ui=false"),
                    *("-s3.port.iceberg=0", "-s3.port.lance=0", *ports),
                ],
                log=directory / "s3.log",
                environment={
                    "AWS_ACCESS_KEY_ID": access_key,
                    "AWS_SECRET_ACCESS_KEY": secret_key,
                },
            )
        )
        async with asyncio.timeout(READY_SECONDS):
            await _nats_ready(nats_port)
            await _store_ready(store)
        yield {
            "NATS__SERVERS": json.dumps([f"nats://{HOST}:{nats_port}"]),
            "OBJECT_STORE__ENDPOINT": store.endpoint,
            "OBJECT_STORE__BUCKET": store.bucket,
            "OBJECT_STORE__ACCESS_KEY": access_key,
            "OBJECT_STORE__SECRET_KEY": secret_key,
        }


@asynccontextmanager
async def service(
    name: str, directory: Path, settings: Mapping[str, str]
) -> AsyncGenerator[tuple[str, int]]:
    """`rstar_NAME.main` with these settings; yields its address and pid once it serves."""
    [port, metrics_port] = free_ports(2)
    address, prefix = f"{HOST}:{port}", f"RSTAR_{name.upper()}_"
    settings = {
        "GRPC__ADDRESS": address,
        "TELEMETRY__METRICS_ADDRESS": f"{HOST}:{metrics_port}",
        **settings,
    }
    log = directory / f"{name}.log"
    async with process(
        [sys.executable, "-m", f"rstar_{name}.main"],
        log=log,
        environment={prefix + key: value for key, value in settings.items()},
    ) as child:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await _serving(address, child)
        except TimeoutError as error:
            raise Unavailable(f"{name} does not serve; see {log}") from error
        yield address, child.pid


@asynccontextmanager
async def simulated_servers(
    directory: Path, *, parameters: str, scale: float = 1.0
) -> AsyncGenerator[tuple[str, Process]]:
    """The simulated services in a process of their own; yields address and process."""
    async with process(
        [
            *(sys.executable, "-m", "rstar_searcher.bench.servers"),
            *("--set", parameters, "--scale", str(scale)),
        ],
        log=directory / "simulated.log",
        environment={},
        output=PIPE,
    ) as child:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), READY_SECONDS)
        yield f"{HOST}:{json.loads(line)['port']}", child


def free_ports(count: int) -> list[int]:
    """Distinct ports nobody listens on now, below the range of outgoing connections."""
    ports: list[int] = []
    while len(ports) < count:
        port = 10_240 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            if port not in ports:
                ports.append(port)
    return ports


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise Unavailable(f"{name} is not installed")
    return found


async def _nats_ready(port: int) -> None:
    await _open(port)
    client = await nats.connect(f"nats://{HOST}:{port}", allow_reconnect=False)
    await client.jetstream().account_info()
    await client.close()


async def _open(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            # A server that is not there yet has no event to wait on.
            await asyncio.sleep(POLL_SECONDS)
        else:
            writer.close()
            return


async def _store_ready(settings: ObjectStoreSettings) -> None:
    await _open(int(settings.endpoint.rpartition(":")[2]))
    while True:
        try:
            store = ObjectStore(settings)
            await store.ready()
            await store.put("probe/ready", b"ready")
            return
        except Unavailable:
            await asyncio.sleep(POLL_SECONDS)


async def _serving(address: str, child: Process) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            if child.returncode is not None:
                raise Unavailable(f"exited with {child.returncode}")
            with suppress(grpc.aio.AioRpcError):
                reply = await health.Check(
                    health_pb2.HealthCheckRequest(), timeout=1.0, wait_for_ready=True
                )
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(POLL_SECONDS)

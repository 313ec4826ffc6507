"""What a searcher needs around it, as processes of this run alone: NATS, S3, simulated services.

Everything is on loopback, in one temporary directory, and ends with the block.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import nats
from pydantic import SecretStr

from rstar_common.artifacts import ObjectStore
from rstar_common.config import ObjectStoreSettings
from rstar_common.errors import Unavailable
from rstar_common.processes import (
    HOST,
    POLL_SECONDS,
    READY_SECONDS,
    free_ports,
    installed_program,
    process,
    until_open,
)

S3_PORTS = ("s3", "filer", "master", "volume", "admin")


@asynccontextmanager
async def infrastructure(
    directory: Path, *, with_nats: bool = True
) -> AsyncGenerator[dict[str, str]]:
    """NATS and S3; yields settings without their service's prefix.

    Without `with_nats` its place is kept for a `nats_server` of the caller's own.
    """
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
        if with_nats:
            await stack.enter_async_context(nats_server(directory, nats_port))
        await stack.enter_async_context(
            process(
                [
                    *(installed_program("weed"), f"-logdir={directory}", "mini"),
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
            await _store_ready(store)
        yield {
            "NATS__SERVERS": json.dumps([f"nats://{HOST}:{nats_port}"]),
            "OBJECT_STORE__ENDPOINT": store.endpoint,
            "OBJECT_STORE__BUCKET": store.bucket,
            "OBJECT_STORE__ACCESS_KEY": access_key,
            "OBJECT_STORE__SECRET_KEY": secret_key,
        }


@asynccontextmanager
async def nats_server(directory: Path, port: int) -> AsyncGenerator[Process]:
    """NATS on the streams that an earlier one left in `directory`; yields once it serves."""
    async with process(
        [
            *(installed_program("nats-server"), "-a", HOST, "-p", str(port)),
            *("-js", "-sd", str(directory / "jetstream")),
        ],
        log=directory / "nats.log",
        environment={},
    ) as child:
        async with asyncio.timeout(READY_SECONDS):
            await _nats_ready(port)
        yield child


@asynccontextmanager
async def simulated_servers(
    directory: Path, *, parameters: str, scale: float = 1.0, port: int = 0, expanded: str = ""
) -> AsyncGenerator[tuple[str, Process]]:
    """The simulated services in a process of their own; yields address and process."""
    async with process(
        [
            *(sys.executable, "-m", "rstar_searcher.bench.servers"),
            *("--set", parameters, "--scale", str(scale)),
            *("--port", str(port), "--expanded", expanded),
        ],
        log=directory / "simulated.log",
        environment={},
        output=PIPE,
    ) as child:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), READY_SECONDS)
        yield f"{HOST}:{json.loads(line)['port']}", child


def store_settings(settings: Mapping[str, str]) -> ObjectStoreSettings:
    """The store among the settings that `infrastructure` yields."""
    prefix = "OBJECT_STORE__"
    return ObjectStoreSettings.model_validate(
        {
            name.removeprefix(prefix).lower(): value
            for name, value in settings.items()
            if name.startswith(prefix)
        }
    )


async def _nats_ready(port: int) -> None:
    await until_open(port)
    client = await nats.connect(f"nats://{HOST}:{port}", allow_reconnect=False)
    await client.jetstream().account_info()
    await client.close()


async def _store_ready(settings: ObjectStoreSettings) -> None:
    await until_open(int(settings.endpoint.rpartition(":")[2]))
    while True:
        try:
            store = ObjectStore(settings)
            await store.ready()
            await store.put("probe/ready", b"ready")
            return
        except Unavailable:
            await asyncio.sleep(POLL_SECONDS)

"""The real policy service on a real SGLang CPU engine, with a store and bus of its own.

Its own, because it follows the promoted pointer: a checkpoint that another test promotes
must not turn up here. Start it once a session; the engine takes some 15 seconds.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected
from rstar_common.checkpoints import Pointers, describe, publish
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.streams import POINTERS, ensure_topology, key_value
from tests.support.servers import Service, nats_server, object_store, service

SMALL_ENGINE = {
    "RSTAR_POLICY_SGLANG__MAX_TOTAL_TOKENS": "8192",
    "RSTAR_POLICY_SGLANG__MAX_RUNNING_REQUESTS": "16",
}
READY_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyService:
    """A running `rstar-policy` and what it follows."""

    service: Service
    nats: NatsSettings
    store: ObjectStoreSettings

    @property
    def address(self) -> str:
        """Of its gRPC server."""
        return self.service.address


async def promote(
    directory: Path, nats: NatsSettings, store: ObjectStoreSettings, *, prompt_format: str = "mini"
) -> str:
    """Publish the checkpoint in `directory` and point to it; returns its version."""
    manifest = describe(directory, model="policy", prompt_format=prompt_format)
    objects = ObjectStore(store)
    await objects.ready()
    await publish(objects, directory, manifest)
    async with connected(nats, name="test") as client:
        jetstream = client.jetstream()
        await ensure_topology(jetstream)
        await Pointers(await key_value(jetstream, POINTERS)).promote(manifest)
    return manifest.version


@asynccontextmanager
async def policy_service(
    directory: Path, model: Path, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[PolicyService]:
    """The service with `model` promoted, once it serves."""
    async with (
        nats_server(directory / "nats") as nats,
        object_store(directory / "s3") as store,
    ):
        await promote(model, nats, store)
        async with service(
            "policy",
            directory,
            SMALL_ENGINE
            | {"RSTAR_POLICY_CACHE_DIR": str(directory / "cache")}
            | dict(environment or {}),
            nats=nats,
            store=store,
            ready_seconds=READY_SECONDS,
        ) as running:
            yield PolicyService(service=running, nats=nats, store=store)


def engine_pid(service_pid: int) -> int:
    """The SGLang server that a service has started."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        parent, state = int(stat.rsplit(")", 1)[1].split()[1]), stat.rsplit(")", 1)[1].split()[0]
        if parent == service_pid and state != "Z" and b"sglang.launch_server" in command:
            return int(entry.name)
    raise LookupError(f"process {service_pid} has no engine")


def engine_metrics_url(pid: int) -> str:
    """Where the engine tells its own metrics; it asks for no key there."""
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    port = arguments[arguments.index(b"--port") + 1].decode()
    return f"http://127.0.0.1:{port}/metrics"


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def group_members(group: int) -> list[int]:
    """The living processes of a process group."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == group and is_alive(int(entry.name)):
                    members.append(int(entry.name))
            except ProcessLookupError:
                continue
    return members

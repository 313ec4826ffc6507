"""The service in a process of its own, and what it holds on the host."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rstar_common.errors import Unavailable
from rstar_sandbox.usage import descendants, memory_bytes

READY_SECONDS = 240.0
"""The first start on a machine builds the root file system."""

POLL_SECONDS = 0.2
"""Between two looks at whether it serves; `Watch` would end with the first refused connection."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that serves."""

    address: str
    pid: int

    def state(self) -> dict[str, int]:
        """What the server and its sandboxes hold at the moment."""
        pids = descendants(self.pid)
        return {
            "processes": len(pids),
            "memory_mib": memory_bytes(pids) // 2**20,
            "private_mib": memory_bytes(pids, private=True) // 2**20,
            "open_files": sum(_open_files(pid) for pid in pids),
        }


@asynccontextmanager
async def server(platform: str, *, parked: int = 0) -> AsyncGenerator[Server]:
    """`rstar-sandbox` on a free port of the loopback while the block lasts.

    `parked` bounds the interpreters that each sandbox keeps; 0 leaves that to the service.

    Raises:
        Unavailable: it does not start, or does not end as it should.
    """
    address, metrics = (f"127.0.0.1:{port}" for port in _free_ports(2))
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RSTAR_SANDBOX_") and name != "RSTAR_CONFIG"
    } | {
        "RSTAR_SANDBOX_GRPC__ADDRESS": address,
        "RSTAR_SANDBOX_TELEMETRY__METRICS_ADDRESS": metrics,
        "RSTAR_SANDBOX_SANDBOX__PLATFORM": platform,
    }
    if parked:
        environment["RSTAR_SANDBOX_SANDBOX__PARKED"] = str(parked)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rstar_sandbox.main"), env=environment
    )
    try:
        await _until_serving(address, process)
        yield Server(address, process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        status = await process.wait()
    if status:
        raise Unavailable(f"the server ended with status {status}")


async def _until_serving(address: str, process: asyncio.subprocess.Process) -> None:
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while process.returncode is None and asyncio.get_running_loop().time() < deadline:
            try:
                reply = await stub.Check(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
            except grpc.aio.AioRpcError:
                reply = health_pb2.HealthCheckResponse()
            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(POLL_SECONDS)
    raise Unavailable("the server does not serve")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(bound.getsockname()[1]) for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports


def _open_files(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0

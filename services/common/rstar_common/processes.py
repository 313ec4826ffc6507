"""Processes of this run alone, on free loopback ports, ended with their block.

For benchmarks, which each service owns and which all need the same: a program that is
certainly stopped, with its workers, whatever happens in the block.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rstar_common.errors import Unavailable

HOST = "127.0.0.1"
READY_SECONDS = 120.0
POLL_SECONDS = 0.1
STOP_SECONDS = 15.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def process(
    argv: Sequence[str], *, log: Path, environment: Mapping[str, str], output: int | None = None
) -> AsyncGenerator[Process]:
    """Run a program for the length of the block; `log` gets what it says."""
    with log.open("ab") as file:
        child = await asyncio.create_subprocess_exec(
            *_dies_with_us(),
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
        # Also after a normal end: workers may have outlived it.
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


@asynccontextmanager
async def service(
    name: str, directory: Path, settings: Mapping[str, str]
) -> AsyncGenerator[tuple[str, int]]:
    """`rstar_NAME.main` with these settings; yields its address and pid once it serves.

    Raises:
        Unavailable: it did not come up.
    """
    port, metrics_port = free_ports(2)
    prefix = f"RSTAR_{name.upper()}_"
    address = f"{HOST}:{port}"
    settings = {
        "GRPC__ADDRESS": address,
        "TELEMETRY__METRICS_ADDRESS": f"{HOST}:{metrics_port}",
        "TELEMETRY__LOG_LEVEL": "WARNING",
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
        except (TimeoutError, Unavailable) as error:
            said = await asyncio.to_thread(log.read_text, errors="replace")
            raise Unavailable(f"{name} does not serve: {said[-2000:]}") from error
        yield address, child.pid


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


async def until_open(port: int) -> None:
    """Return once somebody accepts connections on `port`; bound it with a timeout."""
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            # A server that is not there yet has no event to wait on.
            await asyncio.sleep(POLL_SECONDS)
        else:
            writer.close()
            return


def installed_program(name: str) -> str:
    """Path of a program: beside our own interpreter first, then on PATH.

    Raises:
        Unavailable: it is not installed.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise Unavailable(f"{name} is not installed")
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of one process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def group_of(leader: int) -> list[int]:
    """Every process of the group that `process` started with this pid."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if os.getpgid(int(entry.name)) == leader:
                    found.append(int(entry.name))
    return found


def memory_bytes(pids: Sequence[int]) -> int:
    """Memory of processes together, what they share counted once (PSS)."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _dies_with_us() -> tuple[str, ...]:
    # util-linux is on every Debian; elsewhere we only lose the net under kill -9.
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


async def _serving(address: str, child: Process) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
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

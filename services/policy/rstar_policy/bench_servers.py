"""The two engines of the bench as processes: real SGLang and the simulated one.

Without a key and on a port of their own, so that the service and the bench can both ask.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from rstar_common.errors import Unavailable
from rstar_common.processes import HOST, POLL_SECONDS, free_ports, process
from rstar_policy.loaded import Checkpoint
from rstar_policy.settings import SglangSettings
from rstar_policy.sglang_client import SglangClient
from rstar_policy.sglang_command import launch_of


@asynccontextmanager
async def sglang(checkpoint: Checkpoint, directory: Path) -> AsyncGenerator[str]:
    """The engine that the service itself would start, where both can reach it."""
    launch = launch_of(SglangSettings(), checkpoint)
    [port] = free_ports(1)
    log = directory / "sglang.log"
    url = f"http://{HOST}:{port}"
    async with process(
        [launch.python, *launch.arguments, "--port", str(port)],
        log=log,
        environment=launch.environment,
    ) as child:
        async with asyncio.timeout(launch.start_seconds):
            await answered(url, SglangClient.model_info, child, log)
        yield url


async def answered(
    url: str, ask: Callable[[SglangClient], Awaitable[object]], child: Process, log: Path
) -> None:
    """Wait until the server that `child` is answers.

    Raises:
        Unavailable: it ended; with the end of its log.
    """
    client = SglangClient(url, api_key="")
    try:
        while True:
            if child.returncode is not None:
                said = await asyncio.to_thread(log.read_text, errors="replace")
                raise Unavailable(f"{log.stem}: {said[-2000:]}")
            try:
                await ask(client)
                return
            except Unavailable:
                await asyncio.sleep(POLL_SECONDS)
    finally:
        await client.aclose()


@asynccontextmanager
async def simulated(directory: Path, *, tokens_per_second: float) -> AsyncGenerator[str]:
    """The engine of `bench_engine`."""
    async with process(
        [
            *(sys.executable, "-m", "rstar_policy.bench_engine"),
            *("--tokens-per-second", str(tokens_per_second)),
        ],
        log=directory / "simulated.log",
        environment={},
        output=PIPE,
    ) as child:
        assert child.stdout is not None
        line = await child.stdout.readline()
        yield f"http://{HOST}:{json.loads(line)['port']}"

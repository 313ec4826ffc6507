"""One SGLang server process: started on a free loopback port, gone when we are gone.

The server and its workers are a process group of their own, killed as a whole. If this
process is killed itself, the kernel kills the server (`die_with_parent`), and SGLang's
workers follow their own parent the same way. Its HTTP interface can change weights, so it
listens on loopback only and asks for a random key, which is handed over in a private file
and never on a command line that other users can read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from rstar_common.errors import Unavailable
from rstar_policy import die_with_parent, metrics
from rstar_policy.sglang_client import SglangClient
from rstar_policy.sglang_command import Launch

logger = logging.getLogger(__name__)

READY_POLL_SECONDS = 0.1
"""A starting server has no event to wait on."""

LOG_TAIL_LINES = 15


class EngineProcess:
    """A server that answers. Implements `Server`; made by `started`."""

    def __init__(self, process: asyncio.subprocess.Process, client: SglangClient) -> None:
        self._process = process
        self.generator = client
        self.pid = process.pid

    async def exited(self) -> str:
        """Wait for the end of the server; returns what to tell people."""
        return _ending(await self._process.wait())


@asynccontextmanager
async def started(launch: Launch, *, log_file: Path) -> AsyncGenerator[EngineProcess]:
    """Start a server, wait until it answers, and kill it with all its workers afterwards.

    Raises:
        Unavailable: it did not come up; the message ends with its last lines.
    """
    with tempfile.TemporaryDirectory(prefix="rstar-sglang-") as private, _fresh(log_file) as log:
        port, api_key = _free_port(), secrets.token_urlsafe(24)
        # YAML by name, JSON by content, which is YAML too.
        key_file = Path(private) / "key.yaml"
        key_file.write_text(json.dumps({"api-key": api_key}))
        process = await asyncio.create_subprocess_exec(
            *(launch.python, "-I", "-S", die_with_parent.__file__, str(os.getpid())),
            *(launch.python, *launch.arguments),
            *("--port", str(port), "--config", str(key_file)),
            env={**os.environ, **launch.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        metrics.ENGINE_STARTS.inc()
        logger.info("engine starting", extra={"engine_pid": process.pid, "log": str(log_file)})
        client = SglangClient(f"http://127.0.0.1:{port}", api_key=api_key)
        try:
            await _wait_ready(process, client, launch.start_seconds, log_file)
            yield EngineProcess(process, client)
        finally:
            await client.aclose()
            await _kill_group(process)


async def _wait_ready(
    process: asyncio.subprocess.Process, client: SglangClient, seconds: float, log_file: Path
) -> None:
    try:
        async with asyncio.timeout(seconds):
            while process.returncode is None:
                try:
                    await client.model_info()
                    return
                except Unavailable:
                    await asyncio.sleep(READY_POLL_SECONDS)
        problem = _ending(process.returncode)
    except TimeoutError:
        problem = f"not ready after {seconds:g} s"
    tail = await asyncio.to_thread(_tail, log_file)
    raise Unavailable(f"the engine did not start: {problem}; {log_file} ends with:\n{tail}")


async def _kill_group(process: asyncio.subprocess.Process) -> None:
    # Always, because a leader that died by itself may have left workers behind; and at once,
    # because nothing of ours is left in it, while SGLang looks at a SIGTERM every 5 s only.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _fresh(log_file: Path) -> BinaryIO:
    """The log, empty; why the last engine died is kept beside it."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists():
        log_file.replace(f"{log_file}.1")
    return log_file.open("wb")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ending(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exited with {returncode}"


def _tail(log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])

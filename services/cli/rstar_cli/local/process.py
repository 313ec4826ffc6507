"""One child process: how it is started and how it ends, without leaving orphans.

    start     own process group; asked to end by the kernel when its parent dies
    output    appended to a file, never a pipe that nobody reads
    stop      SIGTERM, a grace, SIGKILL to the whole group

Secrets travel in the environment, never in the arguments, which every user can read.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rstar_common.errors import Unavailable

ROTATE_BYTES = 16 * 2**20
"""A log longer than this is set aside when its process is started again."""

_CALLERS = ("AWS_", "NATS_", "RSTAR_CLI_")
"""Variables of whoever gave the command: their credentials do not reach what it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program with its arguments and its own environment."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to ours; holds secrets, hence not shown."""

    log: Path


def program(name: str) -> str:
    """Path of a program: beside our own interpreter first, then on PATH.

    Raises:
        Unavailable: it is not installed.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise Unavailable(f"{name} is not installed; run: pip install 'rstar-math[cli]'")
    return found


async def start(command: Command) -> Process:
    """Start `command`; the caller owns the process and must `stop` it."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    if command.log.exists() and command.log.stat().st_size > ROTATE_BYTES:
        command.log.replace(command.log.with_suffix(".log.1"))
    with command.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *_dies_with_parent(),
            *command.argv,
            env={**_inherited(), **command.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _inherited() -> dict[str, str]:
    # What `rstar env` put into somebody's shell is theirs, and no service's.
    return {name: text for name, text in os.environ.items() if not name.startswith(_CALLERS)}


def _dies_with_parent() -> tuple[str, ...]:
    # util-linux is on every Debian; elsewhere we only lose the net under kill -9.
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


async def stop(process: Process, *, grace_seconds: float) -> int:
    """End a process and its whole group; returns its exit status."""
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                await process.wait()
        except TimeoutError:
            pass
    # Also after a normal end: a group member that outlived its leader is an orphan.
    _signal_group(process.pid, signal.SIGKILL)
    return await process.wait()


def _signal_group(pid: int, signum: signal.Signals) -> None:
    try:
        os.killpg(pid, signum)
    except (ProcessLookupError, PermissionError):  # gone, or not ours any more
        return


def tail(log: Path, *, lines: int) -> list[str]:
    """The last lines of a log, for an error message."""
    if not log.exists():
        return []
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 64 * 1024))
        return stream.read().decode(errors="replace").splitlines()[-lines:]

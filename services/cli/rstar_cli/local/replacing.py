"""One process takes over from another, so that callers find somebody all the time.

The new one starts beside the old one, which is told to end only when the new one serves. Both
listen on one port (SO_REUSEPORT): when the old one begins to drain it stops listening, and its
connections are told to go elsewhere, which is the same address. That the new one serves is told
by itself (`rstar_common.notify`), for the address would answer for either.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import tempfile
from asyncio.subprocess import Process
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rstar_cli.local.lock import holder, not_up
from rstar_cli.local.plan import Unit
from rstar_cli.local.process import start, stop
from rstar_common.errors import Unavailable
from rstar_common.notify import READY, SOCKET_VARIABLE

logger = logging.getLogger(__name__)

ORDER_FILE = "restart.json"
READY_SECONDS = 300.0
"""Longest a new process may take to serve; a cold SGLang on two busy cores takes a minute."""


def order(home: Path, names: list[str]) -> None:
    """Ask the supervisor of `home` to replace these units.

    Raises:
        Unavailable: there is none.
    """
    pid = holder(home)
    if pid is None:
        raise Unavailable(not_up(home))
    scratch = home / f".{ORDER_FILE}.{os.getpid()}"
    scratch.write_text(json.dumps(names))
    scratch.replace(home / ORDER_FILE)
    os.kill(pid, signal.SIGHUP)


def ordered(home: Path) -> list[str]:
    """What was asked for last."""
    try:
        names: list[str] = json.loads((home / ORDER_FILE).read_text())
    except (OSError, ValueError):
        return []
    return names


async def replaced(unit: Unit, old: Process, ending: asyncio.Event) -> tuple[Process, bool]:
    """The process that runs the unit from now on, and whether it is a new one.

    A new one that does not come to serve is ended, and the old one goes on.
    """
    if not unit.takes_over:
        await stop(old, grace_seconds=unit.grace_seconds)
        return await start(unit.command), True
    with (
        tempfile.TemporaryDirectory(prefix="rstar-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told,
    ):
        told.bind(f"{directory}/ready")
        told.setblocking(False)
        environment = {**unit.command.environment, **unit.takes_over}
        environment[SOCKET_VARIABLE] = f"{directory}/ready"
        new = await start(replace(unit.command, environment=environment))
        try:
            serves = await _serves(new, told, ending)
        except BaseException:
            await stop(new, grace_seconds=unit.grace_seconds)
            raise
    if not serves:
        logger.error("%s: the new process does not serve; the old one goes on", unit.name)
        await stop(new, grace_seconds=unit.grace_seconds)
        return old, False
    await stop(old, grace_seconds=unit.grace_seconds)
    return new, True


async def _serves(new: Process, told: socket.socket, ending: asyncio.Event) -> bool:
    async def hear() -> bool:
        while await asyncio.get_running_loop().sock_recv(told, 64) != READY:
            pass
        return True

    tasks = [asyncio.create_task(work) for work in (hear(), new.wait(), ending.wait())]
    try:
        await asyncio.wait(tasks, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].done() and not tasks[1].done()
    finally:
        for task in tasks:
            task.cancel()
        with suppress(OSError):
            await asyncio.gather(*tasks, return_exceptions=True)

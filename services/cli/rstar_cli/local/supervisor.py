"""The process that owns a one-machine stack: starts it, heals it, ends it.

A unit that exits is started again after a pause that doubles with every failure in a row;
one that refuses its settings (exit status 78) is not, for restarting cannot help. SIGHUP
replaces the units that were ordered to be (`replacing`). SIGTERM ends the stages in reverse
order. Only one supervisor holds a home's lock, and the first thing it does is to end what a
killed predecessor left behind.

Run by `rstar up` as `python -m rstar_cli.local.supervisor HOME`, in a session of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rstar_cli.local.lock import copying, take
from rstar_cli.local.nats import nats_ready
from rstar_cli.local.plan import Unit, plan
from rstar_cli.local.process import start, stop
from rstar_cli.local.procfs import end_marked
from rstar_cli.local.replacing import ordered, replaced
from rstar_cli.local.s3 import s3_ready, sync_every_write
from rstar_cli.local.state import StackState, load, write_private
from rstar_common.config import EXIT_BAD_SETTINGS
from rstar_common.errors import Unavailable

logger = logging.getLogger(__name__)

Work = Coroutine[Any, Any, None]

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 15.0
STEADY_SECONDS = 30.0
"""A unit that ran this long has recovered: its next failure is a first one."""


@dataclass(slots=True, kw_only=True)
class UnitReport:
    """What the supervisor knows of one unit, for `supervisor.json`."""

    state: str = "waiting"
    """waiting, running, restarting, misconfigured or stopped."""

    pid: int = 0
    restarts: int = 0
    replaced: int = 0
    """How often a new process took over because somebody asked for it."""

    refused: int = 0
    """How often the new process did not come up, so that the old one went on."""

    exit_status: int | None = None
    since: float = 0.0
    """Seconds since the epoch of the last change."""


class Supervisor:
    """Keeps units running; reports on them in `supervisor.json` of `home`."""

    def __init__(
        self, units: Sequence[Unit], home: Path, *, foundations_ready: Callable[[], Work]
    ) -> None:
        """`foundations_ready` waits for the units of stage 0; the others start after it."""
        self._units = units
        self._home = home
        self._foundations_ready = foundations_ready
        self._reports = {unit.name: UnitReport() for unit in self._units}
        self._ending = {unit.name: asyncio.Event() for unit in self._units}
        self._asked = {unit.name: asyncio.Event() for unit in self._units}

    async def run(self, stop_asked: asyncio.Event) -> None:
        """Run until `stop_asked`, then end everything in reverse order."""
        async with asyncio.TaskGroup() as group:
            stages: list[list[Unit]] = []
            tasks: dict[str, asyncio.Task[None]] = {}
            try:
                for number, units in itertools.groupby(self._units, key=lambda unit: unit.stage):
                    if stop_asked.is_set():
                        break
                    stages.append(list(units))
                    tasks |= {u.name: group.create_task(self._keep(u)) for u in stages[-1]}
                    if number == 0:
                        await _race(stop_asked, self._foundations_ready())
                await stop_asked.wait()
            finally:
                for stage in reversed(stages):
                    for unit in stage:
                        self._ending[unit.name].set()
                    await asyncio.wait({tasks[unit.name] for unit in stage})

    def replace(self, names: Sequence[str]) -> None:
        """Have new processes take over from those that run these units."""
        for name in names:
            if name in self._asked:
                self._asked[name].set()

    async def _keep(self, unit: Unit) -> None:
        ending = self._ending[unit.name]
        report = self._reports[unit.name]
        failures = 0
        while not ending.is_set():
            began = time.monotonic()
            process = await start(unit.command)
            self._note(unit, state="running", pid=process.pid)
            try:
                while await self._asked_before_end(unit, process):
                    process, done = await replaced(unit, process, ending)
                    report.replaced += done
                    report.refused += not done
                    began = time.monotonic()
                    self._note(unit, state="running", pid=process.pid)
            finally:
                status = await stop(process, grace_seconds=unit.grace_seconds)
            report.exit_status = status
            if ending.is_set():
                break
            if status == EXIT_BAD_SETTINGS:
                logger.error("%s refuses its settings; see %s", unit.name, unit.command.log)
                self._note(unit, state="misconfigured", pid=0)
                await ending.wait()
                break
            failures = 1 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (failures - 1))
            logger.warning("%s exited with %d; again in %.2f s", unit.name, status, pause)
            report.restarts += 1
            self._note(unit, state="restarting", pid=0)
            await _race(ending, asyncio.sleep(pause))
        self._note(unit, state="stopped", pid=0)

    async def _asked_before_end(self, unit: Unit, process: Process) -> bool:
        """Wait until a replacement is asked for; False if the unit ends before."""
        asked, ending = self._asked[unit.name], self._ending[unit.name]
        await _race(ending, _race(asked, process.wait()))
        wanted = asked.is_set() and not ending.is_set() and process.returncode is None
        asked.clear()
        return wanted

    def _note(self, unit: Unit, *, state: str, pid: int) -> None:
        report = self._reports[unit.name]
        report.state, report.pid, report.since = state, pid, time.time()
        units = {name: asdict(known) for name, known in self._reports.items()}
        write_private(self._home / "supervisor.json", {"pid": os.getpid(), "units": units})


async def _race(event: asyncio.Event, work: Coroutine[Any, Any, object]) -> None:
    """Do `work` until it ends or the event is set; raise what it raised."""
    task, other = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, other}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        task.cancel()
        other.cancel()
        await asyncio.gather(task, other, return_exceptions=True)


async def _nats_and_s3_ready(state: StackState) -> None:
    # The services wait for both by themselves; starting them later spares them a retry.
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(nats_ready(state.nats))
            group.create_task(s3_ready(state.object_store))
        await sync_every_write(state.s3_ports)
    except* Unavailable as group_error:
        logger.warning("starting the services anyway: %s", group_error.exceptions[0])


async def supervise(home: Path, state: StackState) -> None:
    """Run the stack of `home` until SIGTERM or SIGINT."""
    stop_asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop_asked.set)
    await end_marked(state.stack_id)
    supervisor = Supervisor(
        plan(state, home), home, foundations_ready=lambda: _nats_and_s3_ready(state)
    )
    loop.add_signal_handler(signal.SIGHUP, lambda: supervisor.replace(ordered(home)))
    await supervisor.run(stop_asked)
    await end_marked(state.stack_id)


def main() -> int:
    """Entry point of the detached process."""
    home = Path(sys.argv[1])
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    lock = take(home)
    if not lock:
        logger.error(copying(home) or f"another supervisor runs the stack of {home}")
        return 1
    with lock:
        state = load(home)
        if not state:
            logger.error("no state in %s", home)
            return 1
        lock.truncate(0)
        asyncio.run(supervise(home, state))
        (home / "supervisor.json").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

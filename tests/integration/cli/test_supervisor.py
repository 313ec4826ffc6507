"""The supervisor heals what crashes, ends what it owns, and leaves nobody behind."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import uuid
from contextlib import asynccontextmanager

from rstar_cli.local.lock import holder, take
from rstar_cli.local.plan import STACK_MARK, UNIT_MARK, Unit
from rstar_cli.local.process import Command
from rstar_cli.local.procfs import end_marked, marked, memory_bytes
from rstar_cli.local.supervisor import FIRST_PAUSE_SECONDS, Supervisor
from tests.support.eventually import eventually

FOREVER = ("sleep", "600")


async def test_a_killed_unit_is_started_again(tmp_path):
    async with supervised(tmp_path, unit(tmp_path, "a", FOREVER)):
        first = await running_pid(tmp_path, "a")
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: report(tmp_path, "a")["pid"] not in (0, first))
        assert report(tmp_path, "a")["restarts"] == 1


async def test_a_unit_that_refuses_its_settings_is_not_started_again(tmp_path):
    async with supervised(tmp_path, unit(tmp_path, "a", ("sh", "-c", "exit 78"))):
        await eventually(lambda: report(tmp_path, "a")["state"] == "misconfigured")
        assert report(tmp_path, "a")["restarts"] == 0


async def test_a_unit_that_keeps_failing_is_retried_with_growing_pauses(tmp_path):
    async with supervised(tmp_path, unit(tmp_path, "a", ("sh", "-c", "date +%s.%N; exit 1"))):
        await eventually(lambda: report(tmp_path, "a")["restarts"] >= 4)
    times = [float(line) for line in (tmp_path / "a.log").read_text().split()]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    # How much longer they are is the machine's business.
    for failures, pause in enumerate(pauses):
        assert pause >= FIRST_PAUSE_SECONDS * 2**failures


async def test_stages_end_in_reverse_order_and_a_stubborn_one_is_killed(tmp_path):
    ended = tmp_path / "ended"
    polite = f"trap 'touch {ended}; exit 0' TERM; touch {tmp_path}/below; sleep 600 & wait"
    stubborn = f"trap '' TERM; touch {tmp_path}/above; while test ! -e {ended}; do sleep 0.01; done"
    units = [
        unit(tmp_path, "first", ("sh", "-c", polite), stage=0, grace_seconds=60),
        unit(tmp_path, "last", ("sh", "-c", stubborn), stage=1, grace_seconds=0.5),
    ]
    async with supervised(tmp_path, *units):
        await eventually((tmp_path / "below").exists)
        await eventually((tmp_path / "above").exists)
    assert ended.exists()
    assert report(tmp_path, "first")["exit_status"] == 0
    # It was still alive when killed, so the stage below it had not been asked to end.
    assert report(tmp_path, "last")["exit_status"] == -signal.SIGKILL


async def test_what_a_killed_supervisor_left_is_found_by_its_mark_and_ended(tmp_path):
    stack_id = f"left-over-{uuid.uuid4().hex}"
    script = "sleep 600 & sleep 600"
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", script), env={**os.environ, STACK_MARK: stack_id, UNIT_MARK: "policy"}
    )
    await eventually(lambda: len(marked(stack_id)) == 3)
    assert set(marked(stack_id).values()) == {"policy"}
    assert memory_bytes({"policy": process.pid})["policy"] > 0
    assert await end_marked(stack_id) == 3
    assert marked(stack_id) == {}
    await process.wait()


async def test_only_one_process_holds_a_home_and_asking_takes_nothing(tmp_path):
    script = (
        "import pathlib, sys; from rstar_cli.local.lock import take\n"
        f"lock = take(pathlib.Path({str(tmp_path)!r})); print(bool(lock), flush=True)\n"
        "sys.stdin.read()"
    )
    assert holder(tmp_path) is None
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert await process.stdout.readline() == b"True\n"
    assert holder(tmp_path) == process.pid
    assert take(tmp_path) is None
    await process.communicate(b"")
    assert holder(tmp_path) is None
    take(tmp_path).close()


def unit(home, name, argv, *, stage=0, grace_seconds=5.0):
    command = Command(name=name, argv=argv, log=home / f"{name}.log")
    return Unit(command=command, stage=stage, grace_seconds=grace_seconds)


@asynccontextmanager
async def supervised(home, *units):
    stop = asyncio.Event()

    async def at_once():
        return

    supervisor = Supervisor(units, home, foundations_ready=at_once)
    task = asyncio.create_task(supervisor.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def report(home, name):
    path = home / "supervisor.json"
    known = json.loads(path.read_text())["units"] if path.exists() else {}
    return known.get(name, {"pid": 0, "state": "", "restarts": 0})


async def running_pid(home, name):
    await eventually(lambda: report(home, name)["pid"] != 0)
    return report(home, name)["pid"]

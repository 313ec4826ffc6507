"""The pool survives what happens to its sandboxes, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rstar.v1 import sandbox_pb2, types_pb2
from rstar_common.errors import Overloaded
from rstar_common.rpc import call
from rstar_sandbox.runsc import CGROUP_PARENT
from rstar_sandbox.usage import cpu_seconds, descendants
from tests.support.sandbox import SandboxClient, sandbox_client, sandbox_pids
from tests.support.servers import Service, service

READY_SECONDS = 240.0


@pytest_asyncio.fixture
async def lone(tmp_path: Path, _runsc: None) -> AsyncIterator[Service]:
    """A service with a single sandbox that takes two requests at a time."""
    environment = {
        "RSTAR_SANDBOX_SANDBOX__SANDBOXES": "1",
        "RSTAR_SANDBOX_SANDBOX__MAX_REQUESTS": "2",
        "RSTAR_SANDBOX_SANDBOX__STANDBY": "false",
    }
    async with service("sandbox", tmp_path, environment, ready_seconds=READY_SECONDS) as running:
        yield running


async def test_a_killed_sandbox_is_replaced_and_what_was_in_flight_is_run_again(lone: Service):
    async with sandbox_client(lone.address) as sandbox:
        await sandbox.printed("x = 1")
        [victim] = sandbox_pids(lone)
        slow = "import time\ntime.sleep(4)\nprint(x)"
        running = asyncio.create_task(sandbox.execute([slow, "print(x + 1)"], path=["x = 1"]))
        await sandbox.printed("x = 1")  # answered by the same sandbox: the other has been sent
        os.kill(victim, signal.SIGKILL)
        response = await running
        assert [outcome.stdout for outcome in response.outcomes] == ["1\n", "2\n"]
        assert sandbox_pids(lone) != [victim]
        await some_are_refused_when_full(sandbox)
    lone.process.send_signal(signal.SIGTERM)
    assert await lone.process.wait() == 0
    assert not leftovers(lone.process.pid)


async def test_a_process_that_cannot_be_ended_costs_its_own_step_alone(lone: Service):
    """gVisor's systrap loses an interrupt now and then; a stopped stub never takes one."""
    async with sandbox_client(lone.address) as sandbox:
        await sandbox.printed("x = 1")
        [kernel] = sandbox_pids(lone)
        endless = "import threading\nthreading.Thread(target=print).start()\nwhile True: pass"
        running = asyncio.create_task(sandbox.run(endless, wall=6, cpu=6))
        stub = await busy_stub(kernel, running)
        os.kill(stub, signal.SIGSTOP)
        try:
            assert (await running).limit == types_pb2.LIMIT_KIND_WALL
            assert await sandbox.printed("print(2)") == "2\n"
            assert sandbox_pids(lone) == [kernel]
        finally:
            os.kill(stub, signal.SIGCONT)


async def busy_stub(kernel: int, running: asyncio.Task[Any]) -> int:
    """The process in which gVisor runs the one program that computes."""
    while not running.done():
        before = {pid: cpu_seconds(pid) for pid in descendants(kernel) - {kernel}}
        await asyncio.sleep(0.5)
        for pid, used in before.items():
            if cpu_seconds(pid) - used > 0.1:
                return pid
    raise AssertionError("it ended before it was found")


@pytest.mark.usefixtures("_runsc")
async def test_whichever_is_killed_answers_go_on_where_one_stands_by(tmp_path: Path):
    environment = {"RSTAR_SANDBOX_SANDBOX__SANDBOXES": "1"}
    async with (
        service("sandbox", tmp_path, environment, ready_seconds=READY_SECONDS) as running,
        sandbox_client(running.address) as sandbox,
    ):
        for number, victim in enumerate(await both(running, sandbox)):
            os.kill(victim, signal.SIGKILL)
            slow = f"import time\ntime.sleep(0.2)\nprint({number})"
            assert await printed_soon(sandbox, slow) == f"{number}\n"
            assert victim not in await both(running, sandbox)
    assert not leftovers(running.process.pid)


async def printed_soon(sandbox: SandboxClient, code: str) -> str:
    """As `printed`; asked again while the service finds its sandbox dead and says so."""
    while True:
        try:
            return await sandbox.printed(code)
        except Overloaded as refusal:
            await asyncio.sleep(refusal.retry_after_seconds)


async def both(running: Service, sandbox: SandboxClient) -> list[int]:
    """The sandbox in use and the one that stands by, once they are there."""
    while len(pids := sandbox_pids(running)) != 2:
        await call(sandbox.stub.GetSandboxInfo(sandbox_pb2.GetSandboxInfoRequest()))
    return pids


async def some_are_refused_when_full(sandbox: SandboxClient) -> None:
    code = "import time; time.sleep(1); print('ran')"
    results = await asyncio.gather(
        *(sandbox.run(code, session=f"s{n}") for n in range(6)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert 0 < len(refused) < 6
    for refusal in refused:
        assert isinstance(refusal, Overloaded)
        assert refusal.retry_after_seconds > 0
    ran = [result for result in results if not isinstance(result, BaseException)]
    assert {outcome.stdout for outcome in ran} == {"ran\n"}


@pytest.mark.parametrize("start", ["import os\n", ""], ids=["forked", "plain"])
async def test_a_call_that_is_cancelled_stops_its_runs(lone: Service, start: str):
    loop = f"{start}while True:\n    pass"
    async with sandbox_client(lone.address) as sandbox:
        await sandbox.printed("x = 1")
        running = asyncio.create_task(
            sandbox.execute([loop, loop + "\nprint()"], path=["x = 1"], wall=60, cpu=60)
        )
        info = sandbox_pb2.GetSandboxInfoRequest()
        while (await call(sandbox.stub.GetSandboxInfo(info))).busy_slots < 2:
            pass  # each question takes a while: the call has not arrived yet
        running.cancel()
        await asyncio.wait([running])
        # Both slots are needed; the loops alone would keep them far beyond this deadline.
        request = sandbox_pb2.ExecuteRequest(
            session="after", siblings=["import os\nprint(1)", "import os\nprint(2)"]
        )
        response = await call(sandbox.stub.Execute(request, timeout=45))
        assert [outcome.stdout for outcome in response.outcomes] == ["1\n", "2\n"]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def leftovers(pid: int) -> list[str]:
    """Control groups and state of the sandboxes of a service that has stopped."""
    # Not the whole tree: other sandboxes' groups come and go while it is walked.
    root = Path("/sys/fs/cgroup")
    hierarchies = (root, *(path for path in root.iterdir() if path.is_dir()))
    groups = (each for one in hierarchies for each in (one / CGROUP_PARENT).glob(f"rstar-{pid}-*"))
    state = Path("~/.cache/rstar/sandbox/runs").expanduser().glob(f"run-*/bundles/rstar-{pid}-*")
    return [str(path) for path in (*groups, *state)]


async def test_a_service_that_was_killed_leaves_nothing_for_the_next(tmp_path: Path, lone: Service):
    pids = sandbox_pids(lone)
    lone.process.kill()
    await lone.process.wait()
    async with service(
        "sandbox", tmp_path, {"RSTAR_SANDBOX_SANDBOX__SANDBOXES": "1"}, ready_seconds=READY_SECONDS
    ) as after:
        async with sandbox_client(after.address) as sandbox:
            assert await sandbox.printed("print('fresh')") == "fresh\n"
        assert not [pid for pid in pids if is_alive(pid)]
        assert not leftovers(lone.process.pid)


async def test_without_runsc_the_service_refuses_to_start(tmp_path: Path):
    environment = {"RSTAR_SANDBOX_SANDBOX__RUNSC": "no-such-runsc"}
    with pytest.raises(RuntimeError, match=r"infra/gvisor/install\.sh"):
        async with service("sandbox", tmp_path, environment):
            pass

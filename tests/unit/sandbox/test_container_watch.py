"""A sandbox is ended when it is silent or deaf, and not when the machine stood still."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rstar_sandbox import container
from rstar_sandbox.container import Container, SandboxDied
from rstar_sandbox.guest import frames


class Pipe:
    """What is written to a sandbox, and what it answers."""

    def __init__(self) -> None:
        self.written = asyncio.Queue[frames.Message]()
        self.answers = asyncio.Queue[bytes]()

    async def read(self, _: int) -> bytes:
        return await self.answers.get()

    def write(self, data: bytes) -> None:
        for message in frames.Reader().feed(data):
            self.written.put_nowait(message)

    def close(self) -> None:
        pass


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    monkeypatch.setattr(container, "PING_SECONDS", 0.01)
    monkeypatch.setattr(container, "PING_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(container, "PING_WAITS", 4)
    return Pipe()


def boxed(pipe: Pipe) -> Container:
    process: Any = SimpleNamespace(pid=os.getpid(), stdin=pipe, stdout=pipe)
    return Container("box", cast("asyncio.subprocess.Process", process))


async def test_a_silent_sandbox_is_ended_and_the_log_says_whether_it_computed(
    pipe: Pipe, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    used = iter((1.0, 4.0))
    monkeypatch.setattr(container, "cpu_seconds", lambda _: next(used))
    box = boxed(pipe)
    await box.watch()
    assert not box.alive
    [record] = caplog.records
    assert record.message == "a sandbox gives no sign of life"
    assert vars(record)["cpu_seconds"] == 3.0


async def test_a_machine_that_stood_still_costs_a_sandbox_one_wait(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    box = boxed(pipe)
    loop = asyncio.get_running_loop()
    clock, jumped = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: clock() + jumped)
    tasks = [asyncio.create_task(box.watch()), asyncio.create_task(box.serve())]
    ping = await pipe.written.get()
    jumped = 3600.0
    await asyncio.sleep(0)  # every timer that had been set is due
    await asyncio.sleep(0.01)
    pipe.answers.put_nowait(frames.encode({"id": ping["id"]}))
    assert (await pipe.written.get())["op"] == "ping"  # the next one: nothing was given up
    assert box.alive
    assert not caplog.records
    box.end()
    pipe.answers.put_nowait(b"")
    await asyncio.gather(*tasks)


async def test_a_sandbox_that_cannot_be_told_anything_is_dead_at_once(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
):
    box = boxed(pipe)
    waiting = asyncio.create_task(box.ask({"op": "execute"}, timeout_seconds=None))
    assert (await pipe.written.get())["op"] == "execute"

    def refuse(_: bytes) -> None:
        raise RuntimeError("the handler is closed")

    monkeypatch.setattr(pipe, "write", refuse)
    with pytest.raises(SandboxDied, match="its input is closed"):
        await box.ask({"op": "execute"}, timeout_seconds=None)
    assert not box.alive  # or who tries once more would meet the same one, and be blamed
    with pytest.raises(SandboxDied, match="it ended"):
        await waiting

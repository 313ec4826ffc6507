"""SIGQUIT tells what every task waits for, and ends nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

from rstar_common.stacks import task_stack, tell_stacks_when_asked
from tests.support.eventually import eventually


async def outer(event: asyncio.Event) -> None:
    async for _ in items(event):
        pass


async def items(event: asyncio.Event):
    await event.wait()
    yield 1


async def test_a_tasks_stack_goes_down_to_what_it_waits_for():
    event = asyncio.Event()
    task = asyncio.create_task(outer(event))
    await asyncio.sleep(0)
    functions = [line.split()[-1] for line in task_stack(task)]
    event.set()
    await task
    assert functions == ["outer", "items", "Event.wait"]
    assert task_stack(task) == []


async def test_sigquit_tells_and_the_process_goes_on(caplog):
    tell_stacks_when_asked()
    event = asyncio.Event()
    task = asyncio.create_task(outer(event), name="the one that waits")
    await asyncio.sleep(0)
    with caplog.at_level(logging.WARNING):
        os.kill(os.getpid(), signal.SIGQUIT)
        await eventually(lambda: bool(caplog.messages), seconds=5)
    event.set()
    await task
    asyncio.get_running_loop().remove_signal_handler(signal.SIGQUIT)
    [line] = [line for line in caplog.messages if "the one that waits" in line]
    assert "outer" in line
    assert line.endswith("Event.wait")

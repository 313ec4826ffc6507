"""The zygote's scheduler, and the steps that interpreters run."""

from __future__ import annotations

import os
import time

import pytest

from rstar_sandbox.guest import steps
from rstar_sandbox.guest.loop import Future, Loop, Slots
from rstar_sandbox.guest.outcome import Status


class Finished(Exception):
    """Ends the loop, which has no end of its own."""


def run(loop: Loop, main) -> None:
    async def wrapped() -> None:
        await main
        raise Finished

    loop.spawn(wrapped())
    with pytest.raises(Finished):
        loop.run(lambda: False)


def test_a_task_waits_for_whichever_descriptor_is_ready():
    loop, seen = Loop(), []
    first, second = os.pipe(), os.pipe()

    async def main() -> None:
        os.write(second[1], b"x")
        ready = await loop.readable([first[0], second[0]], time.monotonic() + 5)
        seen.append(ready)
        seen.append(await loop.readable([first[0]], time.monotonic() + 0.01))

    run(loop, main())
    assert seen == [[second[0]], []]
    for descriptor in (*first, *second):
        os.close(descriptor)


def test_slots_let_so_many_in_at_once_and_in_order():
    loop, slots, log = Loop(), Slots(2), []
    gate: Future[None] = Future()

    async def worker(number: int) -> int:
        async with slots:
            log.append(number)
            if number < 2:
                await gate.get()
        return number

    async def main() -> None:
        tasks = [worker(number) for number in range(5)]
        loop.spawn(open_later())
        assert await loop.gather(tasks) == [0, 1, 2, 3, 4]

    async def open_later() -> None:
        await loop.readable([], time.monotonic() + 0.01)
        assert log == [0, 1]
        gate.set(None)

    run(loop, main())
    assert log == [0, 1, 2, 3, 4]


def test_a_step_reports_the_line_of_its_own_code():
    namespace: dict[str, object] = {}
    steps.run("def f():\n    return 1 / 0", "<step 1>", namespace)
    report = steps.run("\n\nf()", "<step 2>", namespace)
    assert (report.status, report.type, report.line) == (Status.RAISED, "ZeroDivisionError", 3)


def test_leaving_is_an_exception_too():
    report = steps.run("import sys\nsys.exit(0)", "<step 1>", {})
    assert (report.status, report.type, report.line) == (Status.RAISED, "SystemExit", 2)

"""Calls in flight follow what a service takes."""

from __future__ import annotations

import asyncio

import pytest

from rstar_searcher.bench.virtual_time import run_in_virtual_time
from rstar_searcher.pace import Pace
from rstar_searcher.window import Window


async def held(window: Window, count: int, *, interactive: bool):
    """Tasks that hold a slot until their event is set."""
    release = asyncio.Event()
    entered = 0

    async def hold():
        nonlocal entered
        async with window.slot(interactive=interactive):
            entered += 1
            await release.wait()

    tasks = [asyncio.ensure_future(hold()) for _ in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks, release, lambda: entered


async def test_a_refusal_halves_the_window_once_however_many_were_refused():
    window = Window("toy", first=32)
    slots = [window.slot(interactive=True) for _ in range(32)]
    entered = [await slot.__aenter__() for slot in slots]
    for slot in entered:
        slot.refused()
    assert window.limit == 16
    for slot in slots:
        await slot.__aexit__(None, None, None)
    async with window.slot(interactive=True) as slot:
        slot.refused()
    assert window.limit == 1.0, "a lone call that is refused leaves one in flight"


async def test_the_window_grows_by_one_a_round_of_answers_after_a_refusal():
    window = Window("toy", first=8)
    slots = [window.slot(interactive=True) for _ in range(8)]
    entered = [await slot.__aenter__() for slot in slots]
    entered[0].refused()
    assert window.limit == 4
    for slot in entered[4:]:
        slot.succeeded()
    assert window.limit == pytest.approx(4.9, abs=0.1)


async def test_a_window_that_is_not_used_does_not_grow():
    window = Window("toy", first=8)
    for _ in range(100):
        async with window.slot(interactive=True) as slot:
            slot.succeeded()
    assert window.limit == 8


async def test_batches_leave_a_quarter_to_interactive_searches_which_go_first():
    window = Window("toy", first=8)
    batch, release, running = await held(window, 20, interactive=False)
    assert running() == 6
    callers, release_callers, answered = await held(window, 4, interactive=True)
    assert answered() == 2, "its share is there at once"
    release.set()
    await asyncio.gather(*batch)
    release_callers.set()
    await asyncio.gather(*callers)
    assert window.in_flight == 0


async def test_a_window_of_one_still_serves_batches():
    window = Window("toy", first=1)
    batch, release, running = await held(window, 3, interactive=False)
    assert running() == 1
    release.set()
    await asyncio.gather(*batch)
    assert running() == 3


async def test_a_cancelled_caller_gives_its_place_or_its_turn_back():
    window = Window("toy", first=1)
    [holder], release, _ = await held(window, 1, interactive=True)
    waiting, _, _ = await held(window, 2, interactive=True)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    release.set()
    await holder
    waiting[1].cancel()  # its turn has come, and it is cancelled in the same moment
    await asyncio.wait(waiting)
    assert window.in_flight == 0
    async with asyncio.timeout(30), window.slot(interactive=True):
        pass


def grown(pace: Pace, calls: float, answers: int, seconds_at) -> float:
    """How many calls are in flight after so many answers, each taking `seconds_at(calls)`."""
    for _ in range(answers):
        calls = pace.window_after(calls, seconds_at(calls))
    return calls


def test_a_service_that_only_takes_longer_is_asked_by_no_more_at_once():
    pace = Pace()
    calls = grown(pace, 16, 8_000, lambda calls: max(1.0, calls / 20))
    assert 20 <= calls < 40, "it does 20 at once; without a look at latencies it would be 127"


def test_a_service_that_does_more_the_more_it_is_asked_is_asked_by_more():
    assert grown(Pace(), 16, 8_000, lambda calls: 1.0) > 120
    assert grown(Pace(), 16, 8_000, lambda calls: 1 + calls / 200) > 120


def test_a_service_that_has_become_faster_is_asked_by_more():
    pace = Pace()
    before = grown(pace, 16, 2_000, lambda calls: max(1.0, calls / 16))
    after = grown(pace, before, 2_000, lambda calls: max(0.5, calls / 100))
    assert before < 32
    assert after > before + 20


def test_latencies_keep_the_window_below_the_next_refusal():
    refusals: list[float] = []

    async def main() -> Window:
        window = Window("toy", first=128)
        busy = 0

        async def caller() -> None:
            nonlocal busy
            for _ in range(60):
                async with window.slot(interactive=True) as slot:
                    if busy >= 96:
                        refusals.append(asyncio.get_running_loop().time())
                        slot.refused()
                        continue
                    busy += 1
                    await asyncio.sleep(max(1.0, busy / 48))  # does 48 at once
                    busy -= 1
                    slot.succeeded()

        async with asyncio.TaskGroup() as group:
            for _ in range(120):
                group.create_task(caller())
        return window

    window = run_in_virtual_time(main())
    assert 48 <= window.limit < 96
    assert max(refusals) < 5.0, "a hundred rounds later it has still not tried what was refused"

"""Calls in flight follow what a service takes."""

from __future__ import annotations

import asyncio

import pytest

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
    async with asyncio.timeout(1), window.slot(interactive=True):
        pass

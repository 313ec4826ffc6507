"""Seconds of a phase, of which those are left out in which nobody carried it out."""

from __future__ import annotations

import asyncio

import pytest

from rstar_common.errors import Unavailable
from rstar_trainer.evolution import phase_clock
from rstar_trainer.evolution.phase_clock import LONGEST_PAUSE, PhaseClock


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(phase_clock, "time", made)
    return made


def test_a_phase_goes_on_from_what_was_written(hands: Time):
    clock = PhaseClock(40.0)
    hands.now += 20
    assert clock.beat() == 60
    hands.now += 5
    assert clock.end_phase() == 65
    hands.now += 3
    assert clock.beat() == 3


def test_a_machine_that_slept_or_set_its_clock_back_adds_next_to_nothing(hands: Time):
    clock = PhaseClock(0.0)
    hands.now += 9600
    assert clock.beat() == LONGEST_PAUSE
    hands.now -= 500
    assert clock.beat() == LONGEST_PAUSE
    hands.now += 1
    assert clock.beat() == LONGEST_PAUSE + 1


async def test_seconds_are_written_while_a_phase_is_carried_out(hands: Time):
    written: list[float] = []
    enough = asyncio.Event()

    async def write(seconds: float) -> None:
        written.append(seconds)
        hands.now += 10
        if len(written) == 3:
            enough.set()

    async def phase() -> None:
        await enough.wait()

    await PhaseClock(0.0).watch(phase(), write=write, beat_seconds=0.001)
    assert written[:3] == [0, 10, 20]


async def test_what_a_phase_raises_is_raised_as_itself():
    async def write(seconds: float) -> None:
        raise AssertionError(seconds)

    async def phase() -> None:
        raise Unavailable("the store is away")

    with pytest.raises(Unavailable, match="the store is away"):
        await PhaseClock(0.0).watch(phase(), write=write)


async def test_a_phase_ends_when_its_seconds_are_refused():
    ended = asyncio.Event()

    async def write(seconds: float) -> None:
        raise Unavailable(f"driven elsewhere after {seconds}")

    async def phase() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Unavailable, match="driven elsewhere"):
        await PhaseClock(0.0).watch(phase(), write=write, beat_seconds=0.001)
    assert ended.is_set()


async def test_who_is_cancelled_is_not_told_that_its_phase_failed_in_the_same_moment():
    fails = asyncio.Event()

    async def phase() -> None:
        await fails.wait()
        raise Unavailable("the trainer is stopping")

    async def write(seconds: float) -> None:
        raise AssertionError(seconds)

    watching = asyncio.create_task(PhaseClock(0.0).watch(phase(), write=write))
    await asyncio.sleep(0)
    fails.set()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching

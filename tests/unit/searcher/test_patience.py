"""For how long a search asks a service again, and what it then says."""

from __future__ import annotations

import asyncio

import pytest

from rstar_common.errors import DeadlineExceeded, Overloaded, RstarError, Unavailable
from rstar_searcher.asking import GIVE_UP_SECONDS, Asker, Caller, Replicas
from rstar_searcher.bench.virtual_time import run_in_virtual_time
from rstar_searcher.meter import Meter
from rstar_searcher.window import Window


async def asked(error: RstarError) -> tuple[type[RstarError], float]:
    """What came of asking two replicas that always answer so, and after how long."""
    replicas = Replicas("toy", {"one": 1, "two": 2}, Window("toy"))
    caller = Caller(search_id="s", meter=Meter(), interactive=False, ends_at=None)

    async def refuse(_stub: int, _seconds: float | None) -> None:
        raise error

    clock = asyncio.get_running_loop().time
    started = clock()
    with pytest.raises(RstarError) as raised:
        await Asker(replicas, caller).ask(refuse)
    return raised.type, clock() - started


def test_a_service_that_stays_full_is_told_apart_from_one_that_is_gone():
    full, seconds = run_in_virtual_time(asked(Overloaded("full", retry_after_seconds=0.5)))
    assert full is Overloaded
    assert GIVE_UP_SECONDS - 2 < seconds <= GIVE_UP_SECONDS
    gone, seconds = run_in_virtual_time(asked(Unavailable("gone")))
    assert gone is Unavailable
    assert GIVE_UP_SECONDS - 4 < seconds <= GIVE_UP_SECONDS


def test_a_replica_that_never_answers_is_left_for_another():
    async def ask() -> tuple[list[int], float]:
        replicas = Replicas("toy", {"one": 1, "two": 2}, Window("toy"), call_seconds=90.0)
        caller = Caller(search_id="s", meter=Meter(), interactive=False, ends_at=None)
        asked: list[int] = []

        async def answer(stub: int, seconds: float) -> int:
            asked.append(stub)
            if len(asked) == 1:
                await asyncio.sleep(seconds)
                raise DeadlineExceeded("silence")
            return stub

        clock = asyncio.get_running_loop().time
        started = clock()
        await Asker(replicas, caller).ask(answer)
        return asked, clock() - started

    asked, seconds = run_in_virtual_time(ask())
    assert sorted(asked) == [1, 2]
    assert seconds == pytest.approx(90.0, abs=1.0)


async def test_searches_are_dealt_to_replicas_evenly_and_leave_with_their_end():
    replicas = Replicas("toy", {str(n): n for n in range(4)}, Window("toy"))

    def search(number: int) -> Asker[int]:
        caller = Caller(search_id=f"s{number}", meter=Meter(), interactive=False, ends_at=None)
        return Asker(replicas, caller)

    living = [search(number) for number in range(64)]
    users = sorted(len(each) for each in replicas.users.values())
    assert sum(users) == 64
    assert users[-1] - users[0] <= 4
    living.clear()
    assert [len(each) for each in replicas.users.values()] == [0, 0, 0, 0]

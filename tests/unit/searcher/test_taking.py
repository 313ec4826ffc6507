"""A searcher never takes more problems than it has places, however its requests are answered."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from rstar_common.consumer import Route
from rstar_searcher.taking import Taker
from rstar_searcher.turns import Turns
from tests.support.eventually import eventually

NOTHING = SimpleNamespace(headers={"Status": "404"})


@dataclass
class Queue:
    """One tenant's problems, and what answers requests for them."""

    name: str
    waiting: int = 0
    late: bool = False
    """Whether an answer to a request that does not wait takes its time."""

    asked_late: asyncio.Event = field(default_factory=asyncio.Event)
    answer_late: asyncio.Event = field(default_factory=asyncio.Event)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    polls: int = 0

    def put(self, problems: int) -> None:
        self.waiting += problems
        self.came.set()

    async def next(self, *, waits: bool) -> SimpleNamespace:
        if waits:
            self.polls += 1
            await self.came.wait()
        elif self.late:
            self.asked_late.set()
            await self.answer_late.wait()
        if not self.waiting:
            return NOTHING
        self.waiting -= 1
        if not self.waiting:
            self.came.clear()
        return SimpleNamespace(headers=None, tenant=self.name)


class Bus:
    """Answers requests for the next message."""

    def __init__(self, *queues: Queue) -> None:
        self.queues = {queue.name: queue for queue in queues}

    async def request(self, subject: str, payload: bytes, **_: object) -> SimpleNamespace:
        queue = self.queues[subject.rsplit(".", 1)[1]]
        return await queue.next(waits="no_wait" not in json.loads(payload))


class Hands:
    """In place of a tenant's consumer: holds what it is given until it may end."""

    def __init__(self, queue: Queue, handled: Counter[str], may_end: asyncio.Event) -> None:
        self._queue, self._handled, self._may_end = queue, handled, may_end

    async def open(self) -> None:
        pass

    async def put_back(self, msg: SimpleNamespace) -> None:
        self._queue.put(1)

    async def settle(self, msg: SimpleNamespace) -> None:
        self._handled["now"] += 1
        self._handled["most"] = max(self._handled["most"], self._handled["now"])
        await self._may_end.wait()
        self._handled["now"] -= 1
        self._handled[msg.tenant] += 1


@pytest.mark.parametrize("places", [1, 2])
async def test_a_request_that_is_answered_while_another_is_asked_takes_no_place_too_many(places):
    a, b = Queue("a"), Queue("b")
    handled: Counter[str] = Counter()
    may_end, stop = asyncio.Event(), asyncio.Event()

    async def spent(_: str) -> bool:
        return False

    taker = Taker(
        Bus(a, b),
        {q.name: (Route(stream="W", durable=q.name, filter_subject=">"), Hands(q, handled, may_end))
         for q in (a, b)},
        Turns({"a": 1.0, "b": 1.0}),
        places=places,
        spent=spent,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        group.create_task(taker.run(stop))
        await eventually(lambda: a.polls == b.polls == 1)
        b.late = True
        b.put(places - 1)  # leaves one place free
        b.came.set()  # and ends the open request
        await eventually(b.asked_late.is_set)  # for that place
        a.put(1)
        b.put(20)
        await asyncio.sleep(0.05)  # proving an absence needs a clock
        b.late = False
        b.answer_late.set()
        await eventually(lambda: handled["now"] >= places)
        await asyncio.sleep(0.05)
        assert handled["now"] == places
        may_end.set()
        await eventually(lambda: handled["a"] + handled["b"] == places - 1 + 21)
        stop.set()
        a.came.set()
        b.came.set()
    assert handled["most"] == places


async def test_what_comes_after_the_end_is_put_back():
    queue = Queue("a")
    handled: Counter[str] = Counter()
    stop = asyncio.Event()

    async def spent(_: str) -> bool:
        return False

    hands = Hands(queue, handled, asyncio.Event())
    taker = Taker(
        Bus(queue),
        {"a": (Route(stream="W", durable="a", filter_subject=">"), hands)},
        Turns({"a": 1.0}),
        places=1,
        spent=spent,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(taker.run(stop))
        await eventually(lambda: queue.polls == 1)
        stop.set()
        await asyncio.sleep(0.01)  # it has been told
        queue.put(1)
    assert queue.waiting == 1
    assert not handled

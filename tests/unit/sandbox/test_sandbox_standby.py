"""One sandbox stands by, is handed out once, and is cleared away in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rstar_common.errors import Unavailable
from rstar_sandbox.container import Container
from rstar_sandbox.standby import Standby


class Yard:
    """Makes sandboxes that do nothing, and remembers them."""

    def __init__(self) -> None:
        self.made: list[Container] = []
        self.buried: list[str] = []
        self.failures = 0

    @asynccontextmanager
    async def new(self) -> AsyncIterator[Container]:
        if self.failures:
            self.failures -= 1
            raise Unavailable("it does not start")
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
        )
        box = Container(f"box-{len(self.made)}", process)
        self.made.append(box)
        try:
            yield box
        finally:
            box.end()
            await process.wait()
            self.buried.append(box.id)


@asynccontextmanager
async def kept(yard: Yard) -> AsyncIterator[Standby]:
    standby, stop = Standby(yard.new, refill_seconds=0), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(standby.keep(stop))
        await standby.filled.wait()
        yield standby
        stop.set()


async def test_who_comes_gets_the_one_that_stands_by_and_another_follows():
    yard = Yard()
    async with kept(yard) as standby:
        async with standby.sandbox() as first:
            await standby.filled.wait()
            async with standby.sandbox() as second:
                assert [first, second] == yard.made[:2]
            assert yard.buried == ["box-1"]
        assert first.id in yard.buried
        await standby.filled.wait()
    assert sorted(yard.buried) == [box.id for box in yard.made]


async def test_without_one_that_stands_by_a_new_one_is_made():
    yard = Yard()
    async with Standby(yard.new).sandbox() as box:
        assert box.alive
    assert yard.buried == ["box-0"]


async def test_one_that_died_while_it_stood_by_is_not_handed_out():
    yard = Yard()
    async with kept(yard) as standby:
        yard.made[0].end()
        async with standby.sandbox() as box:
            assert box.alive
        assert "box-0" in yard.buried


async def test_one_that_does_not_start_is_tried_again():
    yard = Yard()
    yard.failures = 2
    async with kept(yard) as standby:
        assert standby.process_id
    assert yard.buried == ["box-0"]
    assert not standby.process_id

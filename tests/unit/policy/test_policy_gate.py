"""Many generations, or one swap."""

from __future__ import annotations

import asyncio

from rstar_policy.swap import SwapGate


async def nothing_to_abort() -> None:
    raise AssertionError("aborted although everything ended in time")


async def test_a_swap_waits_for_running_samples_and_holds_new_ones_back():
    gate, order = SwapGate(), []
    finish = asyncio.Event()

    async def sample(name: str, until: asyncio.Event) -> None:
        async with gate.generating():
            order.append(f"{name} begins")
            await until.wait()
            order.append(f"{name} ends")

    async with asyncio.TaskGroup() as group:
        group.create_task(sample("old", finish))
        await asyncio.sleep(0)
        closing = group.create_task(gate.close(drain_seconds=60, abort=nothing_to_abort))
        await asyncio.sleep(0)
        group.create_task(sample("new", finish))
        await asyncio.sleep(0)
        assert order == ["old begins"]
        finish.set()
        await closing
        order.append("swap")
        gate.open()
    assert order == ["old begins", "old ends", "swap", "new begins", "new ends"]


async def test_samples_that_do_not_end_in_time_are_aborted_until_they_do():
    gate = SwapGate()
    aborts, ended = [], asyncio.Event()

    async def abort() -> None:
        aborts.append(1)
        if len(aborts) == 2:
            ended.set()

    async def sample() -> None:
        async with gate.generating():
            await ended.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(sample())
        await asyncio.sleep(0)
        await gate.close(drain_seconds=0, abort=abort)
        assert gate.closed
        gate.open()
    assert len(aborts) == 2


async def test_a_swap_without_traffic_is_immediate():
    gate = SwapGate()
    await gate.close(drain_seconds=60, abort=nothing_to_abort)
    gate.open()
    async with gate.generating():
        pass

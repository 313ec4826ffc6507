"""Searches ask real gRPC servers: refusals, deadlines, and calls that are taken back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from rstar_common.errors import Overloaded
from rstar_common.rpc import serving
from rstar_searcher.clients import GrpcServices, connect
from rstar_searcher.driver import EndedBy, drive
from rstar_searcher.meter import Meter
from rstar_searcher.services import Problem
from rstar_searcher.settings import Mode, SearchSettings
from rstar_searcher.strategies import make_strategy
from tests.support.eventually import eventually
from tests.support.toy_servers import ToyServers, toy_servers
from tests.support.toy_world import ToyWorld


class StrictServers(ToyServers):
    """Refuses what is more than `most` at once; remembers deadlines."""

    def __init__(self, world: ToyWorld) -> None:
        super().__init__(world)
        self.most = 1000
        self.inside = self.peak = self.refused = 0
        self.deadlines: list[float | None] = []

    async def Propose(self, request, context):
        self.deadlines.append(context.time_remaining())
        async with serving(context, "Propose"):
            if self.inside >= self.most:
                self.refused += 1
                raise Overloaded("full", retry_after_seconds=0.01)
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            try:
                return await super().Propose(request, context)
            finally:
                self.inside -= 1


@asynccontextmanager
async def strict(world: ToyWorld):
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(toy_servers(world, StrictServers))
        where = dict.fromkeys(("policy", "ppm", "sandbox"), servers.address)
        yield servers, await connect(stack, **where)


async def searched(tiers, cancel=None, *, seconds=20.0, interactive=True, **settings):
    chosen = SearchSettings(max_wall_seconds=seconds, **settings)
    meter = Meter()
    strategy = make_strategy(chosen)
    services = GrpcServices(
        tiers, f"s-{chosen.seed}", meter, interactive=interactive, seconds=seconds
    )
    ended = await drive(
        strategy,
        Problem(question="toy?", reference="3"),
        chosen,
        services,
        meter,
        cancel=cancel or asyncio.Event(),
        on_progress=lambda _: None,
    )
    return strategy, meter, ended


async def test_a_full_service_is_asked_by_fewer_at_once_and_no_search_is_lost():
    world = ToyWorld(delay=lambda: 0.003, gate=asyncio.Event())
    async with strict(world) as (servers, tiers):
        servers.most = 4
        searches = [
            searched(tiers, seed=seed, rollouts=8, parallel_rollouts=8, mode=Mode.TERMINAL_GUIDED)
            for seed in range(8)
        ]
        searching = asyncio.gather(*searches)
        # Nobody is answered before the service was seen to be full.
        await eventually(lambda: tiers.policy.window.limit < 16)
        refused, asked = servers.refused, sum(servers.asked.values())
        world.gate.set()
        results = await searching
    assert {ended for *_, ended in results} == {EndedBy.ROLLOUTS}
    assert refused > 0, "it began with 256"
    refused, asked = servers.refused - refused, sum(servers.asked.values()) - asked
    assert refused < asked, "most calls are sent when they can be taken"


async def test_calls_carry_the_deadline_of_their_search():
    async with strict(ToyWorld()) as (servers, tiers):
        await searched(tiers, seconds=7.0, rollouts=2)
        assert servers.deadlines
        assert all(seconds is not None and seconds <= 8.0 for seconds in servers.deadlines)


@pytest.mark.parametrize("how", ["cancel", "wall time"])
async def test_what_a_search_had_asked_is_taken_back_when_it_ends(how):
    world = ToyWorld(gate=asyncio.Event())
    async with strict(world) as (_servers, tiers):
        cancel = asyncio.Event()
        seconds = 20.0 if how == "cancel" else 1.0
        search = asyncio.ensure_future(searched(tiers, cancel, seconds=seconds, trees=3))
        if how == "cancel":
            await world.entered.wait()
            cancel.set()
        _, _, ended = await search
        assert world.entered.is_set(), "there was something to take back"
        assert ended is (EndedBy.CANCEL if how == "cancel" else EndedBy.WALL_TIME)
        await eventually(lambda: world.in_flight == 0)
        assert tiers.policy.window.in_flight == 0


async def test_an_interactive_search_is_served_while_a_batch_fills_its_share():
    gate = asyncio.Event()

    class Busy(ToyWorld):
        async def propose(self, question, path, options):
            if question == "batch?":
                self.in_flight += 1
                try:
                    await gate.wait()
                finally:
                    self.in_flight -= 1
            return await super().propose(question, path, options)

    world = Busy()
    async with strict(world) as (_servers, tiers):
        tiers.policy.window.limit = 8

        async def batch(seed):
            services = GrpcServices(tiers, f"b-{seed}", Meter(), interactive=False)
            settings = SearchSettings(seed=seed)
            await drive(
                make_strategy(settings),
                Problem(question="batch?"),
                settings,
                services,
                Meter(),
                cancel=asyncio.Event(),
                on_progress=lambda _: None,
            )

        async with asyncio.TaskGroup() as group:
            for seed in range(20):
                group.create_task(batch(seed))
            await eventually(lambda: world.in_flight == 6)
            _, _, ended = await searched(tiers, rollouts=4, seconds=60.0)
            assert ended is EndedBy.ROLLOUTS
            assert world.in_flight <= 0.75 * tiers.policy.window.limit, "batches have their share"
            gate.set()


async def test_a_service_that_is_gone_is_asked_again_and_is_no_knowledge():
    async with AsyncExitStack() as stack:
        gone = "127.0.0.1:9"
        tiers = await connect(stack, policy=gone, ppm=gone, sandbox=gone)
        strategy, meter, ended = await searched(tiers, seconds=1.0)
    assert ended is EndedBy.WALL_TIME
    assert len(strategy.tree) == 1
    assert meter.retries > 0

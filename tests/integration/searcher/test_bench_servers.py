"""The simulated services over real gRPC show a search the same world as in its own process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc

from rstar_searcher.bench.driven import comparison_settings, run_driver
from rstar_searcher.bench.parameters import BASE, INSTANT
from rstar_searcher.bench.servers import SimulatedServers, add_to
from rstar_searcher.bench.services import problem_of
from rstar_searcher.bench.simulation import Simulation
from rstar_searcher.bench.world import work_digest
from rstar_searcher.clients import GrpcServices, connect
from rstar_searcher.driver import EndedBy, drive
from rstar_searcher.meter import Meter
from rstar_searcher.strategies import make_strategy
from tests.support.eventually import eventually


async def test_a_search_over_the_wire_expands_the_same_nodes():
    settings = comparison_settings(rollouts=2)
    near = await run_driver(INSTANT, settings, pids=range(2))
    simulation = Simulation(INSTANT)
    server = grpc.aio.server()
    add_to(server, SimulatedServers(simulation))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    meters = [Meter() for _ in range(2)]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop, None)
        tiers = await connect(stack, policy=address, ppm=address, sandbox=address)
        for pid, meter in enumerate(meters):
            await drive(
                make_strategy(settings),
                problem_of(pid),
                settings,
                GrpcServices(tiers, f"search-{pid}", meter),
                meter,
                cancel=asyncio.Event(),
                on_progress=lambda _: None,
            )
    assert work_digest(simulation.expanded) == near.schedule.digest
    assert sum(meter.generated_tokens for meter in meters) == near.schedule.tokens


async def test_a_cancelled_search_leaves_nothing_in_engine_and_sandbox():
    settings = comparison_settings(rollouts=16, parallel=4)
    simulation = Simulation(BASE)
    server = grpc.aio.server()
    add_to(server, SimulatedServers(simulation))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    cancel = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop, None)
        tiers = await connect(stack, policy=address, ppm=address, sandbox=address)
        meter = Meter()
        searching = asyncio.ensure_future(
            drive(
                make_strategy(settings),
                problem_of(0),
                settings,
                GrpcServices(tiers, "search-0", meter),
                meter,
                cancel=cancel,
                on_progress=lambda _: None,
            )
        )
        await eventually(lambda: meter.expansions > 0 and simulation.generating > 0)
        cancel.set()
        assert await searching is EndedBy.CANCEL
        await eventually(lambda: simulation.generating + simulation.executing == 0)
        assert simulation.aborted > 0

"""The simulated services over real gRPC show a search the same world as in its own process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc

from rstar_searcher.bench.driven import comparison_settings, run_driver
from rstar_searcher.bench.parameters import INSTANT
from rstar_searcher.bench.servers import SimulatedServers, add_to
from rstar_searcher.bench.services import problem_of
from rstar_searcher.bench.simulation import Simulation
from rstar_searcher.bench.world import work_digest
from rstar_searcher.clients import GrpcServices, connect
from rstar_searcher.driver import drive
from rstar_searcher.meter import Meter
from rstar_searcher.strategies import make_strategy


async def test_a_search_over_the_wire_expands_the_same_nodes():
    settings = comparison_settings(rollouts=4)
    near = await run_driver(INSTANT, settings, pids=range(3))
    simulation = Simulation(INSTANT)
    server = grpc.aio.server()
    add_to(server, SimulatedServers(simulation))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    meters = [Meter() for _ in range(3)]
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

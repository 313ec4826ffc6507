"""How soon engine and sandbox are free when a search is no longer wanted.

A searcher process between this client and the simulated services, which run in this process
and are looked at directly: from the client's act until neither a sequence nor a program of
the search is left.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import TypeAlias

import grpc

from rstar.v1 import searcher_pb2, searcher_pb2_grpc
from rstar_common.processes import service
from rstar_searcher.bench.grpc_part import searcher_settings, solve_request
from rstar_searcher.bench.parameters import BASE
from rstar_searcher.bench.processes import infrastructure
from rstar_searcher.bench.servers import SimulatedServers, add_to
from rstar_searcher.bench.simulation import Simulation
from rstar_searcher.request import new_search_id

GOAL_SECONDS = 0.2
TRIES = 20
ROLLOUTS = 32
LONGEST_SECONDS = 30.0
LOOK_SECONDS = 0.001
QUIET_SECONDS = 0.5
"""Free for so long is free for good: between two steps of a search it is far less."""

DEADLINE_SECONDS = 1.5

Stub: TypeAlias = "searcher_pb2_grpc.SearcherServiceAsyncStub"


async def measure_cancel() -> dict[str, object]:
    """Three ways to end a search, some tries each."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        settings = await stack.enter_async_context(infrastructure(directory))
        simulation = Simulation(BASE)
        server = grpc.aio.server()
        add_to(server, SimulatedServers(simulation))
        services = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        stack.push_async_callback(server.stop, None)
        address, _ = await stack.enter_async_context(
            service("searcher", directory, searcher_settings(services, settings))
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        rng = Random(1)
        report: dict[str, object] = {"tries": TRIES, "goal_ms": round(1000 * GOAL_SECONDS)}
        met = True
        for way in (_caller_leaves, _cancel_search, _deadline):
            late = sorted([await way(stub, simulation, rng) for _ in range(TRIES)])
            met = met and late[-1] <= GOAL_SECONDS
            report[way.__name__.strip("_")] = {
                "p50_ms": round(1000 * late[len(late) // 2], 1),
                "max_ms": round(1000 * late[-1], 1),
            }
        report["goal_met"] = met
    return report


async def _caller_leaves(stub: Stub, simulation: Simulation, rng: Random) -> float:
    call = stub.Solve(_request(rng), timeout=LONGEST_SECONDS)
    waiting = asyncio.ensure_future(_ended(call))
    await _in_the_middle(simulation, rng)
    over = _clock()
    call.cancel()
    await waiting
    return await _freed(simulation) - over


async def _cancel_search(stub: Stub, simulation: Simulation, rng: Random) -> float:
    key = secrets.token_hex(8)
    request = _request(rng)
    request.idempotency_key = key
    waiting = asyncio.ensure_future(_ended(stub.Solve(request, timeout=LONGEST_SECONDS)))
    await _in_the_middle(simulation, rng)
    over = _clock()
    await stub.CancelSearch(searcher_pb2.CancelSearchRequest(search_id=new_search_id(key)))
    await waiting
    return await _freed(simulation) - over


async def _deadline(stub: Stub, simulation: Simulation, rng: Random) -> float:
    """Below zero: it is over before the deadline, so that the answer so far still arrives."""
    over = _clock() + DEADLINE_SECONDS
    await _ended(stub.Solve(_request(rng), timeout=DEADLINE_SECONDS))
    return await _freed(simulation) - over


def _request(rng: Random) -> searcher_pb2.SolveRequest:
    return solve_request(rng.randrange(1_000), rollouts=ROLLOUTS)


async def _in_the_middle(simulation: Simulation, rng: Random) -> None:
    await _until(lambda: simulation.generating > 0)
    await asyncio.sleep(rng.random())
    await _until(lambda: simulation.generating > 0)  # else there would be nothing to free


async def _ended(call: Awaitable[object]) -> None:
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await call


async def _freed(simulation: Simulation) -> float:
    """When the last sequence or program went, and none came after it."""

    def free() -> bool:
        held = simulation.generating + simulation.executing
        return not held and _clock() - simulation.free_since > QUIET_SECONDS

    async with asyncio.timeout(LONGEST_SECONDS):
        await _until(free)
    return simulation.free_since


async def _until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        # The simulated services tell nobody what they hold.
        await asyncio.sleep(LOOK_SECONDS)


def _clock() -> float:
    return asyncio.get_running_loop().time()

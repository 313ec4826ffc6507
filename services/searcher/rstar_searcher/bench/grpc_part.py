"""(a) A searcher process with real NATS and S3 against instant services over real gRPC."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, tree_pb2, types_pb2
from rstar_common.processes import HOST, cpu_seconds, free_ports, memory_bytes, service
from rstar_searcher.bench import texts
from rstar_searcher.bench.machine import starved_seconds
from rstar_searcher.bench.many_part import GOAL_P99_SECONDS, START_INTERVAL_SECONDS
from rstar_searcher.bench.parameters import CANDIDATES
from rstar_searcher.bench.processes import infrastructure, simulated_servers

SEARCHES = 16
"""At once."""

ROLLOUTS = 8
PIDS = 8
"""Different problems; few, so that the simulated services answer from what they know."""

GOAL_EXPANSIONS = 400
CALL_SECONDS = 120.0
MANY_SECONDS = 600.0


async def measure_grpc(*, seconds: float) -> dict[str, object]:
    """Expansions a second of one searcher; every search ends with its tree in the store."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        settings = await stack.enter_async_context(infrastructure(directory))
        services, server = await stack.enter_async_context(
            simulated_servers(directory, parameters="instant")
        )
        address, pid = await stack.enter_async_context(
            service("searcher", directory, searcher_settings(services, settings))
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        await _searches(stub, 1.0)  # connections, imports
        cpu_before = {
            name: cpu_seconds(of) for name, of in (("searcher", pid), ("services", server.pid))
        }
        started = time.perf_counter()
        results = await _searches(stub, seconds)
        took = time.perf_counter() - started
        cpu = {
            "searcher": cpu_seconds(pid) - cpu_before["searcher"],
            "services": cpu_seconds(server.pid) - cpu_before["services"],
        }
    expansions = sum(result.cost.expansions for result in results)
    return {
        "expansions_per_second": round(expansions / took, 1),
        "goal_met": expansions / took >= GOAL_EXPANSIONS,
        "expansions": expansions,
        "searches": len(results),
        "searches_at_once": SEARCHES,
        "seconds": round(took, 1),
        "searcher_cpu_ms_an_expansion": round(1000 * cpu["searcher"] / expansions, 2),
        "services_cpu_ms_an_expansion": round(1000 * cpu["services"] / expansions, 2),
        "searcher_cpu_share": round(cpu["searcher"] / took, 2),
    }


async def measure_many_grpc(*, trees: int, scale: float) -> dict[str, object]:
    """As `many_part`, with a searcher process and the wire between it and its services.

    The services measure: from sending a reply to the next request of the same search. So
    the figure holds both ways through gRPC besides the searcher's own delay, and whatever it
    waits for a place in a window, which it tells by itself.
    """
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        settings = await stack.enter_async_context(infrastructure(directory))
        services, server = await stack.enter_async_context(
            simulated_servers(directory, parameters="h100", scale=scale)
        )
        metrics = f"{HOST}:{free_ports(1)[0]}"
        settings = searcher_settings(services, settings) | {"TELEMETRY__METRICS_ADDRESS": metrics}
        address, pid = await stack.enter_async_context(service("searcher", directory, settings))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        before, started = cpu_seconds(pid), time.perf_counter()

        async def solve(pid: int) -> int:
            response = await stub.Solve(solve_request(pid, rollouts=1), timeout=MANY_SECONDS)
            return response.result.cost.expansions

        calls = []
        async with asyncio.TaskGroup() as group:
            for number in range(trees):
                calls.append(group.create_task(solve(number)))
                await asyncio.sleep(START_INTERVAL_SECONDS)
        took = time.perf_counter() - started
        cpu = cpu_seconds(pid) - before
        resident, starved = memory_bytes([pid]), starved_seconds(pid)
        waits = await asyncio.to_thread(_window_waits, metrics)
        server.terminate()
        assert server.stdout is not None
        seen = json.loads(await server.stdout.readline())
    return {
        "trees": trees,
        "time_scale": scale,
        "seconds": round(took, 1),
        "expansions": sum(call.result() for call in calls),
        "searcher_cpu_share": round(cpu / took, 2),
        "searcher_mb": round(resident / 1e6),
        # Ready to run while others had the processors: of a busy machine, not of the searcher.
        "searcher_starved_share": round(starved / took, 3),
        "window_waits": waits,
        "goal_met": seen["all"]["p99_ms"] <= 1000 * GOAL_P99_SECONDS,
        # The first half holds the start, when callers arrive.
        **seen,
    }


def _window_waits(metrics: str) -> dict[str, float]:
    """How many calls waited for a place in a window, and how long all of them together."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=CALL_SECONDS) as reply:
        lines = str(reply.read(), "utf-8").splitlines()

    def total(of: str) -> float:
        name = f"rstar_searcher_window_wait_seconds_{of}{{"
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    return {"calls": total("count"), "seconds": round(total("sum"), 3)}


def searcher_settings(services: str, others: Mapping[str, str]) -> dict[str, str]:
    """A searcher on simulated services."""
    return {
        "POLICY_ADDRESS": services,
        "PPM_ADDRESS": services,
        "SANDBOX_ADDRESS": services,
        "MAX_INTERACTIVE": "2000",
        "DEFAULTS": json.dumps(
            {
                "max_generated_tokens": 100_000_000,
                "max_trajectory_tokens": 65_536,
                "max_sandbox_seconds": 86_400,
                "max_wall_seconds": 86_400,
            }
        ),
        **others,
    }


def solve_request(pid: int, *, rollouts: int, seed: int = 0) -> searcher_pb2.SolveRequest:
    """A test-time search: the searcher is told no reference."""
    return searcher_pb2.SolveRequest(
        problem=types_pb2.Problem(question=texts.question_of(pid)),
        settings=types_pb2.SearchSettings(
            rollouts=rollouts,
            candidates=CANDIDATES,
            parallel_rollouts=4,
            max_trajectory_tokens=65_536,
            seed=seed,
        ),
    )


async def _searches(
    stub: searcher_pb2_grpc.SearcherServiceAsyncStub, seconds: float
) -> list[tree_pb2.SearchResult]:
    results = []
    deadline = time.perf_counter() + seconds

    async def keep_searching(index: int) -> None:
        while time.perf_counter() < deadline:
            request = solve_request(index % PIDS, rollouts=ROLLOUTS)
            response = await stub.Solve(request, timeout=CALL_SECONDS)
            results.append(response.result)

    async with asyncio.TaskGroup() as group:
        for index in range(SEARCHES):
            group.create_task(keep_searching(index))
    return results

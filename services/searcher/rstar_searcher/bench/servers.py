"""The simulated policy, PPM and sandbox as a real gRPC server speaking `rstar.v1`.

    python -m rstar_searcher.bench.servers --set h100 --scale 10

serves all three on one port, which it prints as JSON. Anything that talks to the real
services can be pointed at it; questions must be of the form `texts.question_of`. With the
set `instant` nothing waits, and answers are kept ready as bytes, so that the server costs
as little as it can beside what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from rstar.v1 import policy_pb2, ppm_pb2, sandbox_pb2, types_pb2
from rstar_common.transport import server_keepalive
from rstar_searcher import wire
from rstar_searcher.bench import texts
from rstar_searcher.bench.parameters import ALL_SETS, Parameters
from rstar_searcher.bench.services import NO_SCORE, Stopwatch, proposed
from rstar_searcher.bench.simulation import Simulation

CACHED_ANSWERS = 20_000
VERSION = "simulated"

Handler = Callable[[Any], Awaitable[Message | bytes]]


class SimulatedServers:
    """Handlers of the three services over one `Simulation`."""

    def __init__(
        self, simulation: Simulation, *, on_expansion: Callable[[str], object] | None = None
    ) -> None:
        """`on_expansion` is told every node asked for, as a line, before anything is done."""
        self._simulation = simulation
        self._on_expansion = on_expansion
        self._world = simulation.world
        self._ready: dict[tuple[int, str, int, int], bytes] = {}
        self.stopwatch = Stopwatch()
        """From a reply's sending to the next request of its search, the wire included."""

    async def propose(self, request: policy_pb2.ProposeRequest) -> Message | bytes:
        """A candidate's text names its place, so the world answers by text alone."""
        steps = [request.path[-1].text] if request.path else []
        pid, place = texts.place_below(request.question, steps)
        self._requested(request.search_id)
        if self._on_expansion is not None:
            self._on_expansion(f"{pid}|{place}\n")
        lengths, _ = await self._simulation.generate(
            pid, place, request.num_candidates, enough=request.enough_candidates
        )
        key = (pid, place, request.num_candidates, request.enough_candidates)
        answer = self._ready.get(key)
        if answer is None:
            answer = self._proposal(pid, place, lengths).SerializeToString()
            if len(self._ready) < CACHED_ANSWERS:
                self._ready[key] = answer
        self._replied(request.search_id)
        return answer

    async def execute(self, request: sandbox_pb2.ExecuteRequest) -> Message:
        """No code raises in this world."""
        self._requested(request.session)
        seconds = [
            self._world.execution_seconds(*texts.place_of(text)) for text in request.siblings
        ]
        await self._simulation.execute(seconds)
        self._replied(request.session)
        return sandbox_pb2.ExecuteResponse(
            outcomes=[
                types_pb2.ExecutionOutcome(stdout="", wall_seconds=each, cpu_seconds=each)
                for each in seconds
            ],
            sandbox_version=VERSION,
            cpu_seconds=sum(seconds),
        )

    async def score(self, request: ppm_pb2.ScoreRequest) -> Message:
        """Answers are not scored in this world."""
        if request.siblings[0].kind == types_pb2.STEP_KIND_ANSWER:
            scores = [NO_SCORE] * len(request.siblings)
        else:
            await self._simulation.score(len(request.siblings))
            scores = [
                self._world.ppm_value(*texts.place_of(sibling.text)) for sibling in request.siblings
            ]
        self._replied(request.search_id)
        return ppm_pb2.ScoreResponse(scores=scores, ppm_version=VERSION)

    async def judge(self, request: sandbox_pb2.JudgeRequest) -> Message:
        """By equality."""
        return sandbox_pb2.JudgeResponse(
            judgements=[
                sandbox_pb2.Judgement(
                    verdict=types_pb2.VERDICT_EQUAL
                    if pair.answer == pair.reference
                    else types_pb2.VERDICT_UNEQUAL
                )
                for pair in request.pairs
            ]
        )

    def _proposal(self, pid: int, place: str, lengths: list[int]) -> policy_pb2.ProposeResponse:
        candidates = proposed(self._simulation, pid, place, lengths, provenance=True)
        return policy_pb2.ProposeResponse(
            candidates=[wire.candidate_to(candidate, "") for candidate in candidates],
            cost=types_pb2.Cost(generated_tokens=sum(map(abs, lengths))),
        )

    def _requested(self, search_id: str) -> None:
        self.stopwatch.requested(search_id)

    def _replied(self, search_id: str) -> None:
        self.stopwatch.replied(search_id, asyncio.get_running_loop().time())


def add_to(server: grpc.aio.Server, servers: SimulatedServers) -> None:
    """Register the three services."""
    services: dict[str, dict[str, tuple[Handler, Any]]] = {
        "PolicyService": {"Propose": (servers.propose, policy_pb2.ProposeRequest)},
        "PpmService": {"Score": (servers.score, ppm_pb2.ScoreRequest)},
        "SandboxService": {
            "Execute": (servers.execute, sandbox_pb2.ExecuteRequest),
            "Judge": (servers.judge, sandbox_pb2.JudgeRequest),
        },
    }
    for name, methods in services.items():
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                partial(_answer, handler),
                request_deserializer=request.FromString,
                response_serializer=_serialized,
            )
            for method, (handler, request) in methods.items()
        }
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(f"rstar.v1.{name}", handlers)]
        )


async def _answer(handler: Handler, request: Message, _context: object) -> Message | bytes:
    return await handler(request)


def _serialized(answer: Message | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


async def serve(
    parameters: Parameters,
    *,
    scale: float,
    port: int,
    on_expansion: Callable[[str], object] | None = None,
) -> None:
    """Serve until SIGTERM; then print what was measured."""
    simulation = Simulation(parameters, scale=scale)
    servers = SimulatedServers(simulation, on_expansion=on_expansion)
    server = grpc.aio.server(options=server_keepalive())
    add_to(server, servers)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    _say({"port": port})
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    delays = servers.stopwatch.delays
    await server.stop(grace=0.5)
    _say(
        {
            "expansions": len(simulation.expanded),
            "distinct_expansions": len(set(simulation.expanded)),
            "aborted_expansions": simulation.aborted,
            "left_running": simulation.generating + simulation.executing,
            "engine_busy": round(simulation.engine_busy, 3),
            "reactions": len(delays),
            "all": _percentiles(delays),
            "second_half": _percentiles(delays[len(delays) // 2 :]),
        }
    )


def _percentiles(delays: list[float]) -> dict[str, float]:
    ordered = sorted(delays)
    return {
        f"p{percent}_ms": round(1000 * ordered[percent * len(ordered) // 100], 2)
        for percent in (50, 90, 99)
        if ordered
    }


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve."""
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m rstar_searcher.bench.servers")
    parser.add_argument("--set", choices=[*ALL_SETS], default="base")
    parser.add_argument("--scale", type=float, default=1.0, help="simulated seconds a second")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--expanded", default="", help="file that gets every node asked for")
    options = parser.parse_args()
    parameters = ALL_SETS[options.set]
    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        # Line by line, so that a process that is killed has told what it was asked.
        Path(options.expanded or os.devnull).open("a", buffering=1) as lines,
    ):
        note = lines.write if options.expanded else None
        runner.run(serve(parameters, scale=options.scale, port=options.port, on_expansion=note))


if __name__ == "__main__":
    main()

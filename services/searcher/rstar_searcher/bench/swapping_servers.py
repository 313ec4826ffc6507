"""The simulated services with versions of the PPM, and with problems they refuse: for chaos.

    python -m rstar_searcher.bench.swapping_servers --port 50051 --scale 10 --version 1

At SIGUSR1 the PPM takes its next version, and goes on serving those before to callers that name
them; one it does not serve is NOT_FOUND, as with the real PPM. Every version scores alike, so
that trees can be compared. A question of no simulated world is INVALID_ARGUMENT.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from rstar.v1 import policy_pb2, ppm_pb2, sandbox_pb2
from rstar_common.errors import InvalidInput, NotFound
from rstar_common.processes import HOST
from rstar_common.rpc import serving
from rstar_common.stacks import tell_stacks_when_asked
from rstar_common.transport import server_keepalive
from rstar_searcher.bench import texts
from rstar_searcher.bench.parameters import BASE, Parameters
from rstar_searcher.bench.servers import SimulatedServers
from rstar_searcher.bench.simulation import Simulation

GRACE_SECONDS = 0.5


class SwappingServers:
    """The three services over one `Simulation`; failures have the status that real ones give."""

    def __init__(self, simulation: Simulation, *, version: int) -> None:
        """Serve one version of the PPM, for now."""
        self._servers = SimulatedServers(simulation)
        self._versions = [version]

    def swap(self) -> None:
        """Serve the next version too."""
        self._versions.append(self._versions[-1] + 1)

    async def propose(self, request: policy_pb2.ProposeRequest) -> Message | bytes:
        """As `SimulatedServers`, but a question may be of no world."""
        try:
            texts.pid_of(request.question)
        except (ValueError, IndexError) as error:
            raise InvalidInput("of no simulated world", field="question") from error
        return await self._servers.propose(request)

    async def score(self, request: ppm_pb2.ScoreRequest) -> Message:
        """As `SimulatedServers`, by the version the caller names, or the newest."""
        names = [f"simulated-{version}" for version in self._versions]
        name = request.ppm_version or names[-1]
        if name not in names:
            raise NotFound(f"ppm version {name} is not served")
        response = await self._servers.score(request)
        assert isinstance(response, ppm_pb2.ScoreResponse)
        return ppm_pb2.ScoreResponse(scores=response.scores, ppm_version=name)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """For a gRPC server."""
        own = self._servers
        return [
            _service("PolicyService", Propose=(self.propose, policy_pb2.ProposeRequest)),
            _service("PpmService", Score=(self.score, ppm_pb2.ScoreRequest)),
            _service(
                "SandboxService",
                Execute=(own.execute, sandbox_pb2.ExecuteRequest),
                Judge=(own.judge, sandbox_pb2.JudgeRequest),
            ),
        ]


Handler = Callable[[Any], Awaitable[Message | bytes]]


def _service(name: str, **methods: tuple[Handler, type[Message]]) -> grpc.GenericRpcHandler:
    def unary(
        method: str, handler: Handler, request: type[Message]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        async def answer(message: Message, context: Any) -> Message | bytes:
            async with serving(context, method):
                return await handler(message)
            raise AssertionError("unreachable: what fails is raised")

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=request.FromString, response_serializer=_serialized
        )

    return grpc.method_handlers_generic_handler(
        f"rstar.v1.{name}", {method: unary(method, *how) for method, how in methods.items()}
    )


def _serialized(answer: Message | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


async def serve(parameters: Parameters, *, scale: float, port: int, version: int) -> None:
    """Serve until SIGTERM."""
    servers = SwappingServers(Simulation(parameters, scale=scale), version=version)
    server = grpc.aio.server(options=server_keepalive())
    server.add_generic_rpc_handlers(servers.handlers())
    server.add_insecure_port(f"{HOST}:{port}")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, servers.swap)
    tell_stacks_when_asked()
    await server.start()
    await stop.wait()
    await server.stop(grace=GRACE_SECONDS)


def main() -> None:
    """Serve."""
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m rstar_searcher.bench.swapping_servers")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="simulated seconds a second")
    parser.add_argument("--version", type=int, default=1, help="of the PPM")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(BASE, scale=options.scale, port=options.port, version=options.version))


if __name__ == "__main__":
    main()

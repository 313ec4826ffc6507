"""A connection that was lost without a word is noticed, however long its call has waited."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, types_pb2
from rstar_cli.chaos.proxy import Proxy
from rstar_common import rpc, transport
from rstar_common.config import GrpcServerSettings
from rstar_common.errors import Unavailable
from tests.support.eventually import PATIENCE_SECONDS, POLL_SECONDS, eventually

PINGS_BEFORE = 4
"""By then gRPC would have given up asking by itself, or its server have hung up on us."""


class Searcher(searcher_pb2_grpc.SearcherServiceServicer):
    """Takes as many seconds as the question says."""

    async def Solve(self, request, context):
        await asyncio.sleep(float(request.problem.question))
        return searcher_pb2.SolveResponse()


@pytest.fixture
async def proxy(monkeypatch):
    monkeypatch.setattr(transport, "KEEPALIVE_SECONDS", 1)
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    run = rpc.grpc_server(
        GrpcServerSettings(address="127.0.0.1:0", drain_seconds=0.0),
        lambda server: searcher_pb2_grpc.add_SearcherServiceServicer_to_server(Searcher(), server),
        service_names=["rstar.v1.SearcherService"],
        on_listening=listening.set_result,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(run(stop))
        async with Proxy(await listening).serving() as serving:
            yield serving
        stop.set()


def solve(stub: searcher_pb2_grpc.SearcherServiceAsyncStub, seconds: float):
    problem = types_pb2.Problem(question=str(seconds))
    return rpc.call(stub.Solve(searcher_pb2.SolveRequest(problem=problem)))


async def answered(stub: searcher_pb2_grpc.SearcherServiceAsyncStub) -> None:
    """Ask until there is an answer: what is lost is still being closed, perhaps."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await solve(stub, 0)
            except Unavailable:
                await asyncio.sleep(POLL_SECONDS)


async def test_a_call_that_waits_long_for_its_answer_gets_it(proxy):
    async with rpc.channel(f"127.0.0.1:{proxy.port}") as channel:
        await solve(searcher_pb2_grpc.SearcherServiceStub(channel), PINGS_BEFORE + 1)


async def test_a_call_whose_connection_is_lost_after_it_waited_long_ends_as_unavailable(proxy):
    async with rpc.channel(f"127.0.0.1:{proxy.port}") as channel:
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        waiting = asyncio.ensure_future(solve(stub, 600))
        await asyncio.sleep(PINGS_BEFORE)
        proxy.forget()
        with pytest.raises(Unavailable):
            await waiting
        await answered(stub)


async def test_a_connection_that_is_lost_while_nothing_is_asked_is_noticed_too(proxy):
    async with rpc.channel(f"127.0.0.1:{proxy.port}") as channel:
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        await solve(stub, 0)
        assert channel.get_state() is grpc.ChannelConnectivity.READY
        proxy.forget()
        await eventually(lambda: channel.get_state() is not grpc.ChannelConnectivity.READY)
        await answered(stub)

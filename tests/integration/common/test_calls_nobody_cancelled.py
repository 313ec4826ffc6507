"""A call ends as CANCELLED only if somebody cancelled it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from rstar.v1 import searcher_pb2, searcher_pb2_grpc
from rstar_common import rpc
from rstar_common.config import GrpcServerSettings
from rstar_common.errors import Unavailable

SOLVE = "/rstar.v1.SearcherService/Solve"
UNREAD_SECONDS = 1
"""In place of gRPC's own 30."""


class Searcher(searcher_pb2_grpc.SearcherServiceServicer):
    """Waits for something that another part of the process cancels."""

    async def Solve(self, request, context):
        async with rpc.serving(context, "Solve"):
            if request.problem.question == "stray?":
                future = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_soon(future.cancel)
                await future
        return searcher_pb2.SolveResponse()


@asynccontextmanager
async def serving(**options: int):
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    run = rpc.grpc_server(
        GrpcServerSettings(address="127.0.0.1:0", drain_seconds=1.0),
        lambda server: searcher_pb2_grpc.add_SearcherServiceServicer_to_server(Searcher(), server),
        service_names=["rstar.v1.SearcherService"],
        on_listening=listening.set_result,
        **options,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(run(stop))
        yield f"127.0.0.1:{await listening}"
        stop.set()


def asked_of_a_busy_server(address: str) -> Callable[[], list[grpc.StatusCode]]:
    """Two calls, and a third when those have waited; keeps the loop that reads them busy."""
    channel = grpc.insecure_channel(address)
    solve = channel.unary_unary(
        SOLVE,
        request_serializer=searcher_pb2.SolveRequest.SerializeToString,
        response_deserializer=searcher_pb2.SolveResponse.FromString,
    )
    calls = []
    for count, seconds in ((2, 2.2 * UNREAD_SECONDS), (1, 0.3)):
        # gRPC's own threads send them.
        calls += [solve.future(searcher_pb2.SolveRequest(), timeout=60) for _ in range(count)]
        time.sleep(seconds)
    return lambda: [call.code() for call in calls]


@pytest.mark.parametrize(
    ("options", "dropped"),
    [({"unread_seconds": UNREAD_SECONDS}, True), ({}, False)],
    ids=["dropped after a second, as gRPC does after 30", "ours"],
)
async def test_calls_wait_for_a_busy_server_as_long_as_they_like(options, dropped):
    async with serving(**options) as address:
        codes = asked_of_a_busy_server(address)
        answers = await asyncio.to_thread(codes)
    assert len(answers) == 3
    assert (grpc.StatusCode.CANCELLED in answers) is dropped
    assert set(answers) <= {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}


def test_no_call_is_dropped_before_its_own_deadline():
    assert rpc.UNREAD_SECONDS >= 86_400


async def test_a_stray_cancellation_tells_the_caller_to_try_again(caplog):
    async with serving() as address, rpc.channel(address) as channel:
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        request = searcher_pb2.SolveRequest()
        request.problem.question = "stray?"
        with pytest.raises(Unavailable):
            await rpc.call(stub.Solve(request, timeout=10))
    assert "stray cancellation" in caplog.text

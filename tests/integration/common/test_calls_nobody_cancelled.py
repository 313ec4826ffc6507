"""A call ends as CANCELLED only if somebody cancelled it."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager

import grpc
import pytest

from rstar.v1 import searcher_pb2, searcher_pb2_grpc
from rstar_common import rpc
from rstar_common.config import GrpcServerSettings
from rstar_common.errors import Unavailable

SOLVE = "/rstar.v1.SearcherService/Solve"
BUSY_SECONDS = 2.5


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


def asked_while_the_server_is_busy(address: str, answers: list[object]) -> list[threading.Thread]:
    """Callers from other threads: two at once, and one when those have waited a while."""
    channel = grpc.insecure_channel(address)
    solve = channel.unary_unary(
        SOLVE,
        request_serializer=searcher_pb2.SolveRequest.SerializeToString,
        response_deserializer=searcher_pb2.SolveResponse.FromString,
    )

    def ask(delay: float) -> None:
        time.sleep(delay)
        try:
            answers.append(solve(searcher_pb2.SolveRequest(), timeout=30))
        except grpc.RpcError as error:
            answers.append(error.code())

    threads = [threading.Thread(target=ask, args=(delay,)) for delay in (0.1, 0.2, 2.0)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize(
    ("options", "dropped"),
    [({"unread_seconds": 1}, True), ({}, False)],
    ids=["dropped after a second, as gRPC does after 30", "ours"],
)
async def test_calls_wait_for_a_busy_server_as_long_as_they_like(options, dropped):
    answers: list[object] = []
    async with serving(**options) as address:
        threads = asked_while_the_server_is_busy(address, answers)
        time.sleep(BUSY_SECONDS)  # noqa: ASYNC251 (the loop that reads calls is to be busy)
        for thread in threads:
            await asyncio.to_thread(thread.join)
    assert len(answers) == len(threads)
    assert (grpc.StatusCode.CANCELLED in answers) is dropped


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

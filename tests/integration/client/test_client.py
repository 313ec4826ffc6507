"""The client against a real searcher over real gRPC, NATS and S3; the world is scripted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from random import Random
from typing import TypeVar

import grpc
import pytest

import rstar_client
from rstar.v1 import searcher_pb2, searcher_pb2_grpc
from rstar_cli.authority import Authority
from rstar_client import AsyncClient, Finished, Problem, RetryPolicy, Settings, Started
from rstar_common.config import GrpcServerSettings
from rstar_common.errors import Overloaded
from rstar_common.rpc import grpc_server, serving
from tests.support.eventually import eventually
from tests.support.searcher_stack import new_id, searcher_stack
from tests.support.toy_world import ToyWorld

T = TypeVar("T")
ServicerT = TypeVar("ServicerT", bound=searcher_pb2_grpc.SearcherServiceServicer)

QUICK = RetryPolicy(first_pause_seconds=0.01, longest_pause_seconds=0.05)


async def test_a_problem_is_solved(nats_settings, object_store_settings):
    async with (
        searcher_stack(nats_settings, object_store_settings, consume=False) as stack,
        AsyncClient(stack.runner.address) as client,
    ):
        result = await client.solve("toy?", Settings(rollouts=6))
    assert result.status == "answered"
    assert result.ended_by == "rollouts"
    assert result.cost.rollouts == 6
    assert result.solution[-1].output.strip() == result.answer
    assert result.versions["policy"] == "policy-toy"
    assert "majority" in result.choices


async def test_events_are_typed_ordered_and_end_with_the_result(
    nats_settings, object_store_settings
):
    async with (
        searcher_stack(nats_settings, object_store_settings, consume=False) as stack,
        AsyncClient(stack.runner.address) as client,
    ):
        events = [event async for event in client.solve_stream("toy?", Settings(rollouts=4))]
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    numbers = [event.sequence for event in events]
    assert numbers == sorted(set(numbers))
    kinds = {type(event).__name__ for event in events}
    assert kinds == {"Started", "Expanded", "RolloutEnded", "Finished"}


async def test_a_refused_field_is_named(nats_settings, object_store_settings):
    async with (
        searcher_stack(nats_settings, object_store_settings, consume=False) as stack,
        AsyncClient(stack.runner.address) as client,
    ):
        with pytest.raises(rstar_client.InvalidInput) as refused:
            await client.solve("")
    assert refused.value.field == "problem.question"


async def test_one_key_is_one_search(nats_settings, object_store_settings):
    key = new_id("key")
    async with (
        searcher_stack(nats_settings, object_store_settings, consume=False) as stack,
        AsyncClient(stack.runner.address) as client,
    ):
        first, second = await asyncio.gather(
            client.solve("toy?", idempotency_key=key), client.solve("toy?", idempotency_key=key)
        )
        state = await client.get(idempotency_key=key)
    assert first.search_id == second.search_id == state.search_id
    assert state.result is not None
    assert state.result.answer == first.answer


async def test_who_leaves_ends_the_search_unless_the_key_is_his_own(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()
    async with (
        searcher_stack(
            nats_settings,
            object_store_settings,
            world=lambda meter: ToyWorld(meter, gate=gate),
            consume=False,
        ) as stack,
        AsyncClient(stack.runner.address) as client,
    ):
        searches = {}
        for key in ("", new_id("key")):
            events = client.solve_stream("toy?", idempotency_key=key)
            searches[bool(key)] = (await anext(events)).search_id
            await events.aclose()

        async def status(search_id: str) -> str:
            return (await client.get(search_id)).status

        await eventually(lambda: stack.runner.live(searches[False]) is None)
        assert await status(searches[False]) == "cancelled"
        assert await status(searches[True]) == "running"
        attached = client.attach(searches[True])
        assert isinstance(await anext(attached), Started)
        gate.set()
        assert isinstance([event async for event in attached][-1], Finished)
        assert not await client.cancel(searches[True])


async def test_closing_the_client_ends_the_searches_that_were_left(caplog):
    async with waiting_searcher() as (servicer, address):
        async with AsyncClient(address) as client:
            async for _ in client.solve_stream("dropped at once"):
                break  # what is left of the stream ends in a task of its own
            events = client.solve_stream("kept in a variable")
            await anext(events)
            named = client.solve_stream("to be read on", idempotency_key="mine")
            await anext(named)
        assert sorted(servicer.cancelled) == ["dropped at once", "kept in a variable"]
        for stream in (events, named):
            await stream.aclose()
    assert len(servicer.cancelled) == 2
    # Exceptions that nobody retrieved; gRPC's server has its own to tell.
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_a_client_closes_without_its_searcher():
    async with AsyncExitStack() as stack:
        _, address = await stack.enter_async_context(waiting_searcher())
        client = AsyncClient(address)
        events = client.solve_stream("toy?")
        await anext(events)
        await stack.aclose()
        await client.close()
        await events.aclose()


def test_closing_the_plain_client_ends_the_searches_that_were_left():
    with in_a_thread(waiting_searcher) as (servicer, address):
        with rstar_client.Client(address) as client:
            events = client.solve_stream("toy?")
            assert isinstance(next(events), Started)
        assert servicer.cancelled == ["toy?"]
        events.close()


async def test_a_batch_is_submitted_twice_and_read_once(
    nats_settings, object_store_settings, nats_url
):
    batch_id = new_id("batch")
    problems = [
        Problem(problem_id=f"p{n}", question=f"toy {n}?", labels={"level": str(n)})
        for n in range(3)
    ]
    async with (
        searcher_stack(nats_settings, object_store_settings) as stack,
        AsyncClient(stack.runner.address, nats_url=nats_url) as client,
    ):
        for _ in range(2):
            await client.batches.submit(batch_id, problems, Settings(rollouts=2))
        found = [result async for result in client.batches.results(batch_id)]
        batch = await client.batches.get(batch_id)
    assert sorted(result.problem_id for result in found) == ["p0", "p1", "p2"]
    assert {result.labels["level"] for result in found} == {"0", "1", "2"}
    assert batch.ended
    assert (batch.total, batch.done, batch.dead) == (3, 3, 0)


async def test_a_batch_that_cannot_be_sent_is_refused_before_it_is(nats_url):
    async with AsyncClient("127.0.0.1:1", nats_url=nats_url) as client:
        with pytest.raises(rstar_client.InvalidInput, match="split the batch"):
            await client.batches.submit("b", [Problem(problem_id="p", question="x" * 2_000_000)])
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(rstar_client.InvalidInput, match="needed to submit"):
            await client.batches.submit("b", [Problem(problem_id="p", question="x")])


async def test_without_a_service_the_patience_ends():
    async with AsyncClient("127.0.0.1:1", retry=QUICK) as client:
        with pytest.raises(rstar_client.Unavailable):
            await client.get("s-1")


async def test_a_full_service_is_asked_again_and_a_broken_stream_is_taken_up():
    async with flaky_searcher() as (servicer, address):
        client = AsyncClient(address, retry=QUICK, rng=Random(0))
        events = [event async for event in client.solve_stream("q")]
        await client.close()
    assert [event.sequence for event in events] == [0, 1, 2, 3]
    assert isinstance(events[-1], Finished)
    assert events[-1].result.answer == "42"
    assert len(servicer.keys) == 3
    assert len(set(servicer.keys)) == 1
    assert servicer.cancelled == []


def test_the_plain_client_does_the_same(nats_settings, object_store_settings, nats_url):
    with (
        in_a_thread(lambda: searcher_stack(nats_settings, object_store_settings)) as stack,
        rstar_client.Client(stack.runner.address, nats_url=nats_url) as client,
    ):
        assert client.solve("toy?", Settings(rollouts=2)).status == "answered"
        events = list(client.solve_stream("toy?", Settings(rollouts=2)))
        assert isinstance(events[-1], Finished)
        batch_id = new_id("batch")
        client.batches.submit(batch_id, [Problem(problem_id="p", question="toy?")])
        [found] = client.batches.results(batch_id)
        assert found.problem_id == "p"
        with pytest.raises(rstar_client.NotFound):
            client.get("s-none")


@contextmanager
def in_a_thread(serving: Callable[[], AbstractAsyncContextManager[T]]) -> Generator[T]:
    """What `serving` gives, in another thread's loop: the plain client needs this one."""
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    given: list[T] = []
    ready = threading.Event()

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with serving() as value:
            given.append(value)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(90)
        yield given[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(90)


class FlakySearcher(searcher_pb2_grpc.SearcherServiceServicer):
    """Full at first, then loses its connection half-way, then finishes."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.cancelled: list[str] = []

    async def SolveStream(self, request, context):
        self.keys.append(request.idempotency_key)
        async with serving(context, "SolveStream"):
            if len(self.keys) == 1:
                raise Overloaded("full", retry_after_seconds=0.01)
            # As a searcher does: who joins is told what is searched, then what comes from now on.
            yield searcher_pb2.SearchEvent(
                search_id="s", sequence=len(self.keys) - 2, started=searcher_pb2.SearchStarted()
            )
            if len(self.keys) == 2:
                yield self.expansion(1)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
            yield self.expansion(2)
            finished = searcher_pb2.SearchFinished()
            finished.result.answer = "42"
            yield searcher_pb2.SearchEvent(search_id="s", sequence=3, finished=finished)

    async def CancelSearch(self, request, context):
        self.cancelled.append(request.search_id)
        return searcher_pb2.CancelSearchResponse(cancelled=True)

    @staticmethod
    def expansion(sequence):
        return searcher_pb2.SearchEvent(
            search_id="s", sequence=sequence, expansion=searcher_pb2.Expansion(parent=sequence)
        )


class WaitingSearcher(searcher_pb2_grpc.SearcherServiceServicer):
    """Begins every search, under its question as id, and goes no further."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    async def SolveStream(self, request, context):
        yield searcher_pb2.SearchEvent(
            search_id=request.problem.question, started=searcher_pb2.SearchStarted()
        )
        await asyncio.Event().wait()

    async def CancelSearch(self, request, context):
        self.cancelled.append(request.search_id)
        return searcher_pb2.CancelSearchResponse(cancelled=True)


@asynccontextmanager
async def listening(servicer: ServicerT) -> AsyncGenerator[tuple[ServicerT, str]]:
    server = grpc.aio.server()
    searcher_pb2_grpc.add_SearcherServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)


def flaky_searcher() -> AbstractAsyncContextManager[tuple[FlakySearcher, str]]:
    return listening(FlakySearcher())


def waiting_searcher() -> AbstractAsyncContextManager[tuple[WaitingSearcher, str]]:
    return listening(WaitingSearcher())


async def test_a_secured_service_is_called_with_certificate_and_token(tmp_path):
    authority = Authority.create(tmp_path)
    authority.issue("server", ["127.0.0.1"], days=1)
    authority.issue("laptop", ["127.0.0.1"], days=1)
    trusted = {
        "ca": str(authority.path("ca", "pem")),
        "certificate": str(authority.path("laptop", "pem")),
        "key": str(authority.path("laptop", "key")),
    }
    async with secured_searcher(authority) as address:
        for token, wanted in (
            (authority.token("team", ["solve"], seconds=60), None),
            (authority.token("team", ["train"], seconds=60), rstar_client.Forbidden),
            ("", rstar_client.Unauthenticated),
        ):
            who = rstar_client.credentials(**trusted, token=token)
            async with AsyncClient(address, credentials=who, retry=QUICK) as client:
                if wanted is None:
                    assert (await client.solve("q")).answer == "42"
                else:
                    with pytest.raises(wanted):
                        await client.solve("q")
    with pytest.raises(rstar_client.InvalidInput, match="cannot read"):
        rstar_client.credentials(str(tmp_path / "none.pem"))


@asynccontextmanager
async def secured_searcher(authority: Authority) -> AsyncGenerator[str]:
    """Answers at once, to whoever gets this far."""
    servicer = FlakySearcher()
    servicer.keys += ["full once", "lost once"]
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    component = grpc_server(
        GrpcServerSettings(
            drain_seconds=0,
            certificate=str(authority.path("server", "pem")),
            key=str(authority.path("server", "key")),
            client_ca=str(authority.path("ca", "pem")),
            token_keys=str(authority.path("tokens", "pub")),
        ),
        lambda server: searcher_pb2_grpc.add_SearcherServiceServicer_to_server(servicer, server),
        service_names=["rstar.v1.SearcherService"],
        on_listening=port.set_result,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(component(stop))
        yield f"127.0.0.1:{await port}"
        stop.set()

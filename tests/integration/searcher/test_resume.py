"""Searchers are killed and put to sleep; what they began is gone on with, exactly."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from random import Random

import grpc
import pytest

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, tree_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected
from rstar_common.streams import JOURNAL, journal_subject
from rstar_searcher.driver import drive
from rstar_searcher.results import result_of, tree_to
from rstar_searcher.services import Problem
from rstar_searcher.settings import SearchSettings
from rstar_searcher.strategies import make_strategy
from tests.support.eventually import eventually
from tests.support.searcher_stack import new_id, searcher_stack, submission
from tests.support.servers import nats_server, service
from tests.support.toy_servers import ToyServers, toy_servers
from tests.support.toy_world import ToyWorld

pytestmark = pytest.mark.timeout(240)

SETTINGS = {"rollouts": 30, "candidates": 4, "parallel_rollouts": 1, "seed": 7}
KILLS = 3
EXPANSIONS_A_KILL = 50
"""The three problems take 229 by themselves: every kill comes in the middle."""

LEASE = {"lease_seconds": 1.0, "ack_wait_seconds": 1.5}


def slow_world(gate: asyncio.Event | None = None) -> ToyWorld:
    rng = Random(3)
    return ToyWorld(depth=6, delay=lambda: 0.015 * rng.random(), gate=gate)


async def undisturbed(question: str) -> tree_pb2.Tree:
    """The same search by one searcher that lives."""
    settings = SearchSettings(**SETTINGS)
    problem = Problem(question=question)
    strategy, world = make_strategy(settings), ToyWorld(depth=6)
    ended = await drive(
        strategy,
        problem,
        settings,
        world,
        world.meter,
        cancel=asyncio.Event(),
        on_progress=lambda _: None,
    )
    result = result_of("", "", problem, settings, strategy.tree, world.meter, ended)
    return tree_to(problem, settings, strategy.tree, result)


async def assert_undisturbed(question: str, tree: tree_pb2.Tree) -> None:
    expected = await undisturbed(question)
    assert list(tree.nodes) == list(expected.nodes)
    assert list(tree.dropped) == list(expected.dropped)
    got, want = tree.result, expected.result
    assert (got.answer, got.answer_score, got.ended_by) == (
        want.answer,
        want.answer_score,
        want.ended_by,
    )
    assert list(got.trajectories) == list(want.trajectories)
    assert got.choices
    assert list(got.choices) == list(want.choices)
    for counted in ("generated_tokens", "policy_calls", "sandbox_runs", "expansions", "rollouts"):
        assert getattr(got.cost, counted) == getattr(want.cost, counted), counted


async def test_a_batch_survives_searchers_that_are_killed_at_random_moments(
    nats_settings, object_store_settings, tmp_path
):
    rng = Random(11)
    kills = 0

    class Unhurried(ToyServers):
        """Goes on only so far before the next kill, however fast the machine is."""

        async def Propose(self, request, context):
            await eventually(lambda: not self.waits(), seconds=180)
            return await super().Propose(request, context)

        def waits(self) -> bool:
            return kills < KILLS and len(self.asked) >= EXPANSIONS_A_KILL * (kills + 1)

    async with (
        toy_servers(slow_world(), Unhurried) as servers,
        searcher_stack(nats_settings, object_store_settings, consume=False) as stack,
    ):
        environment = servers.environment(**LEASE)
        batch = submission(new_id("batch"), 3, **SETTINGS)
        await stack.publish(batch.SerializeToString(), "application/protobuf")

        async def one_life(name: int) -> None:
            nonlocal kills
            async with service(
                "searcher",
                tmp_path,
                environment | {"RSTAR_SEARCHER_MAX_BATCH_SEARCHES": "2"},
                nats=nats_settings,
                store=object_store_settings,
            ) as searcher:
                before = len(servers.asked)
                # Killed somewhere in the middle of its work.
                await eventually(
                    lambda: len(servers.asked) >= before + 10 or servers.waits() or finished.done(),
                    seconds=90,
                )
                await asyncio.sleep(0.2 * rng.random())
                if kills < KILLS:
                    kills += 1
                    searcher.process.kill()
                else:
                    await asyncio.wait([finished])

        async def lives(name: int) -> None:
            while not finished.done():
                await one_life(name)

        async with asyncio.TaskGroup() as group:
            finished = group.create_task(stack.finished(batch.batch_id, seconds=180))
            group.create_task(lives(1))
            group.create_task(lives(2))
        assert kills == KILLS
        state = finished.result()
        assert (state.total, state.done, state.dead) == (3, 3, 0)
        results = await stack.results(batch.batch_id)
        assert len({result.problem_id for result in results}) == len(results) == 3
        for result in results:
            tree = tree_pb2.Tree.FromString(await stack.store.get(result.result.tree_key))
            await assert_undisturbed(result.question, tree)
        # What was under way and what was not in the journal yet, which a busy NATS takes late.
        # Begun anew, the killed searches would have repeated two thirds of the work.
        assert servers.repeated < len(servers.asked) / 3
        for result in results:
            info = await stack.bus.jetstream().stream_info(
                JOURNAL, subjects_filter=journal_subject(result.result.search_id)
            )
            assert not info.state.subjects, "its journal was purged"


async def test_a_searcher_that_slept_beyond_its_lease_cannot_write_when_it_wakes(
    nats_settings, object_store_settings, tmp_path
):
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(toy_servers(slow_world()))
        queue = await stack.enter_async_context(
            searcher_stack(nats_settings, object_store_settings, consume=False)
        )
        environment = servers.environment(**LEASE)

        async def searcher():
            return await stack.enter_async_context(
                service(
                    "searcher",
                    tmp_path,
                    environment,
                    nats=nats_settings,
                    store=object_store_settings,
                )
            )

        sleeper = await searcher()
        batch = submission(new_id("batch"), 1, **SETTINGS)
        await queue.publish(batch.SerializeToString(), "application/protobuf")
        await eventually(lambda: len(servers.asked) > 15)
        sleeper.process.send_signal(signal.SIGSTOP)
        stack.callback(_wake, sleeper)
        asked = len(servers.asked)
        await searcher()
        await eventually(lambda: len(servers.asked) > asked + 5)
        assert servers.repeated < asked, "the second went on, and did not begin anew"
        sleeper.process.send_signal(signal.SIGCONT)
        state = await queue.finished(batch.batch_id)
        assert (state.done, state.dead) == (1, 0)
        [result] = await queue.results(batch.batch_id)
        tree = tree_pb2.Tree.FromString(await queue.store.get(result.result.tree_key))
        await assert_undisturbed(result.question, tree)
        await eventually(lambda: "search left to another" in sleeper.log_tail(200))
        assert sleeper.process.returncode is None, "it lost a search, not its life"


async def test_an_interactive_search_goes_on_where_its_dead_searcher_stopped(
    nats_settings, object_store_settings, tmp_path
):
    async with (
        toy_servers(slow_world()) as servers,
        connected(nats_settings, name="test") as bus,
    ):
        environment = servers.environment(**LEASE)

        def searcher():
            return service(
                "searcher", tmp_path, environment, nats=nats_settings, store=object_store_settings
            )

        request = searcher_pb2.SolveRequest(idempotency_key=new_id("key"))
        request.problem.question = "which?"
        for name, value in SETTINGS.items():
            setattr(request.settings, name, value)
        async with searcher() as survivor:
            async with searcher() as victim:
                search_id, call = await _streamed(victim.address, request, servers)
                victim.process.kill()
                with pytest.raises(grpc.aio.AioRpcError):
                    await call
            asked = len(servers.asked)
            async with grpc.aio.insecure_channel(survivor.address) as channel:
                stub = searcher_pb2_grpc.SearcherServiceStub(channel)
                attached = stub.AttachSearch(searcher_pb2.AttachSearchRequest(search_id=search_id))
                async for event in attached:
                    last = event
                solved = (await stub.Solve(request)).result
        assert len(servers.asked) > asked, "there was something left to do"
        found = last.finished.result
        assert found == solved
        store = ObjectStore(object_store_settings)
        tree = tree_pb2.Tree.FromString(await store.get(solved.tree_key))
        await assert_undisturbed("which?", tree)
        assert servers.repeated < asked, "it went on, and did not begin anew"
        info = await bus.jetstream().stream_info(
            JOURNAL, subjects_filter=journal_subject(search_id)
        )
        assert not info.state.subjects


async def test_a_nats_that_restarts_in_the_middle_of_searches_costs_nothing(
    tmp_path, object_store_settings
):
    gate = asyncio.Event()
    gate.set()
    world = slow_world(gate)

    def one_world(meter):
        world.meter = meter  # one search at a time counts here
        return world

    async with AsyncExitStack() as servers:
        first = await servers.enter_async_context(nats_server(tmp_path))
        port = int(first.servers[0].rpartition(":")[2])
        second = nats_server(tmp_path, port=port)
        async with searcher_stack(
            first, object_store_settings, world=one_world, consume=False
        ) as stack:
            request = searcher_pb2.SolveRequest(idempotency_key=new_id("key"))
            request.problem.question = "which?"
            for name, value in SETTINGS.items():
                setattr(request.settings, name, value)
            call = asyncio.ensure_future(stack.searcher.Solve(request))
            await eventually(lambda: len(world.proposed) > 10)
            gate.clear()  # while NATS takes its time to stop
            await servers.aclose()
            gate.set()
            away = len(world.proposed)
            await eventually(lambda: len(world.proposed) > away + 5)
            assert not call.done()
            async with second:
                result = (await call).result
                tree = tree_pb2.Tree.FromString(await stack.store.get(result.tree_key))
                await assert_undisturbed("which?", tree)
                assert len(world.proposed) == len(set(world.proposed)), "nothing was done twice"


async def _streamed(address: str, request: searcher_pb2.SolveRequest, servers: ToyServers):
    """Begin a search over a stream; give its id and a call that fails with its searcher."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = searcher_pb2_grpc.SearcherServiceStub(channel)
            async for event in stub.SolveStream(request):
                if not started.done():
                    started.set_result(event.search_id)

    call = asyncio.ensure_future(read())
    search_id = await started
    await eventually(lambda: len(servers.asked) > 15)
    return search_id, call


def _wake(sleeper) -> None:
    if sleeper.process.returncode is None:
        sleeper.process.send_signal(signal.SIGCONT)

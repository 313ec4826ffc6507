"""Solve, SolveStream, attach and cancel over real gRPC, NATS and S3; the world is scripted."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from rstar.v1 import searcher_pb2, tree_pb2, types_pb2
from rstar_common.rpc import error_from_rpc
from rstar_common.streams import SEARCH_RECORDS, token
from rstar_searcher import servicer
from tests.support.eventually import eventually
from tests.support.searcher_stack import new_id, searcher_stack
from tests.support.toy_world import ToyWorld


def solve(question: str = "toy?", key: str = "", **settings: object) -> searcher_pb2.SolveRequest:
    request = searcher_pb2.SolveRequest(idempotency_key=key)
    request.problem.question = question
    for name, value in settings.items():
        setattr(request.settings, name, value)
    return request


async def test_solve_answers_and_the_tree_can_be_fetched(nats_settings, object_store_settings):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        result = (await stack.searcher.Solve(solve(rollouts=6))).result
        assert result.status == tree_pb2.SEARCH_STATUS_ANSWERED
        assert result.ended_by == tree_pb2.ENDED_BY_ROLLOUTS
        assert result.cost.rollouts == 6
        assert result.versions.policy == "policy-toy"
        assert result.solution[-1].output.strip() == result.answer
        tree = (
            await stack.searcher.GetTree(searcher_pb2.GetTreeRequest(search_id=result.search_id))
        ).tree
        assert tree.nodes[0].visits == 6
        assert tree.result.answer == result.answer


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        pytest.param(solve(""), "problem.question", id="empty question"),
        pytest.param(solve("x" * 20_000), "problem.question", id="over-long question"),
        pytest.param(solve(rollouts=0), "settings.rollouts", id="no rollouts"),
        pytest.param(solve(temperature=9.0), "settings.temperature", id="too hot"),
        pytest.param(solve(strategy=77), "settings.strategy", id="unknown strategy"),
        pytest.param(solve(mode=99), "settings.mode", id="unknown mode"),
        pytest.param(solve(key="k" * 200), "idempotency_key", id="over-long key"),
        pytest.param(
            searcher_pb2.SolveRequest(problem=types_pb2.Problem(question="q", reference="1")),
            "problem.reference",
            id="a reference at test time",
        ),
        pytest.param(
            solve(mode=types_pb2.SEARCH_MODE_TERMINAL_GUIDED),
            "problem.reference",
            id="no reference",
        ),
    ],
)
async def test_an_impossible_request_names_its_field(
    nats_settings, object_store_settings, request_, field
):
    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stack.searcher.Solve(request_)
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error_from_rpc(failure.value).field == field  # type: ignore[attr-defined]
        assert not stack.worlds, "nothing was started"


async def test_a_deadline_that_leaves_no_time_starts_nothing(
    nats_settings, object_store_settings, monkeypatch
):
    # A deadline that has passed never leaves the client: this one is too near for the server.
    monkeypatch.setattr(servicer, "LEAST_SECONDS", 100.0)
    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stack.searcher.Solve(solve(), timeout=50.0)
        assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert failure.value.details() == "the deadline has passed"
        assert not stack.worlds


async def test_a_deadline_brings_the_best_so_far(nats_settings, object_store_settings):
    def slow(meter):
        # A thousand rollouts are nearly as many expansions, one after another and of 0.3 s each on
        # any machine. What there is after some seconds is small, and soon written by a slow one.
        return ToyWorld(meter, depth=3, choices=10_000, delay=lambda: 0.1)

    async with searcher_stack(
        nats_settings, object_store_settings, world=slow, consume=False
    ) as stack:
        request = solve(rollouts=1000, candidates=32, parallel_rollouts=1)
        result = (await stack.searcher.Solve(request, timeout=20.0)).result
        assert result.ended_by == tree_pb2.ENDED_BY_WALL_TIME
        assert result.answer


async def test_the_stream_tells_the_story_of_the_search(nats_settings, object_store_settings):
    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        events = [event async for event in stack.searcher.SolveStream(solve(rollouts=5))]
        kinds = [event.WhichOneof("event") for event in events]
        assert kinds[0] == "started"
        assert kinds[-1] == "finished"
        assert kinds.count("rollout_ended") == 5
        assert "expansion" in kinds
        last = [event for event in events if event.HasField("rollout_ended")][-1].rollout_ended
        assert (last.rollouts_done, last.rollouts_total) == (5, 5)
        assert last.best_answer == events[-1].finished.result.answer
        sequences = [event.sequence for event in events]
        assert sequences == sorted(sequences)


async def test_a_caller_that_leaves_ends_its_search(nats_settings, object_store_settings):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with searcher_stack(
        nats_settings, object_store_settings, world=gated, consume=False
    ) as stack:
        call = stack.searcher.Solve(solve())
        await eventually(lambda: bool(stack.worlds) and stack.worlds[0].entered.is_set())
        call.cancel()
        await eventually(lambda: stack.worlds[0].in_flight == 0)


async def test_two_calls_with_one_key_are_one_search(nats_settings, object_store_settings):
    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        key = new_id("key")
        first, second = await asyncio.gather(
            stack.searcher.Solve(solve(key=key)), stack.searcher.Solve(solve(key=key))
        )
        later = await stack.searcher.Solve(solve(key=key))
        assert first.result.search_id == second.result.search_id == later.result.search_id
        assert first.result.trajectories
        assert first.result == later.result
        assert len(stack.worlds) == 1
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stack.searcher.Solve(solve("another?", key=key))
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_running_search_can_be_found_watched_and_cancelled_from_another_replica(
    nats_settings, object_store_settings
):
    def slow(meter):
        return ToyWorld(meter, depth=8, delay=lambda: 0.02)

    async with (
        searcher_stack(nats_settings, object_store_settings, world=slow, consume=False) as one,
        searcher_stack(nats_settings, object_store_settings, consume=False) as two,
    ):
        key = new_id("key")
        call = asyncio.ensure_future(one.searcher.Solve(solve(key=key, rollouts=1000)))
        await eventually(lambda: bool(one.worlds))
        found = await two.searcher.GetSearch(searcher_pb2.GetSearchRequest(idempotency_key=key))
        assert found.status == tree_pb2.SEARCH_STATUS_RUNNING
        watching = two.searcher.AttachSearch(
            searcher_pb2.AttachSearchRequest(search_id=found.search_id)
        )
        events = aiter(watching)
        first = await anext(events)
        assert first.search_id == found.search_id
        cancelled = await two.searcher.CancelSearch(
            searcher_pb2.CancelSearchRequest(search_id=found.search_id)
        )
        assert cancelled.cancelled
        result = (await call).result
        assert result.status == tree_pb2.SEARCH_STATUS_CANCELLED
        async for event in events:
            last = event
        assert last.finished.result.search_id == found.search_id


async def test_a_full_searcher_refuses_with_a_hint(nats_settings, object_store_settings):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with searcher_stack(
        nats_settings, object_store_settings, world=gated, max_interactive=1, consume=False
    ) as stack:
        first = asyncio.ensure_future(stack.searcher.Solve(solve()))
        await eventually(lambda: bool(stack.worlds))
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stack.searcher.Solve(solve())
        assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error_from_rpc(failure.value).retry_after_seconds > 0  # type: ignore[attr-defined]
        gate.set()
        assert (await first).result.answer


async def test_of_many_that_come_at_once_a_searcher_takes_as_many_as_it_has_places(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with searcher_stack(
        nats_settings, object_store_settings, world=gated, max_interactive=2, consume=False
    ) as stack:
        calls = [asyncio.ensure_future(stack.searcher.Solve(solve(seed=n))) for n in range(8)]
        await eventually(lambda: sum(call.done() for call in calls) == 6)
        gate.set()
        done = await asyncio.gather(*calls, return_exceptions=True)
        refused = [each for each in done if isinstance(each, grpc.aio.AioRpcError)]
        assert {each.code() for each in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert len(refused) == 6


async def test_a_key_cannot_name_another_request_while_its_search_runs(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with searcher_stack(
        nats_settings, object_store_settings, world=gated, consume=False
    ) as stack:
        key = new_id("key")
        first = asyncio.ensure_future(stack.searcher.Solve(solve(key=key)))
        await eventually(lambda: bool(stack.worlds))
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stack.searcher.Solve(solve("another?", key=key))
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        gate.set()
        assert (await first).result.answer


async def test_a_key_whose_search_was_forgotten_may_name_another_question(
    nats_settings, object_store_settings
):
    key = new_id("key")
    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        first = (await stack.searcher.Solve(solve("first?", key=key))).result
        # Records end after a week, trees stay.
        await stack.bus.jetstream().purge_stream(
            f"KV_{SEARCH_RECORDS}", subject=f"$KV.{SEARCH_RECORDS}.{token(first.search_id)}"
        )
        second = (await stack.searcher.Solve(solve("second?", key=key))).result
        assert second.search_id == first.search_id
        assert second.tree_key != first.tree_key
        request = searcher_pb2.GetTreeRequest(search_id=second.search_id)
        tree = (await stack.searcher.GetTree(request)).tree
        assert tree.problem.question == "second?"
        assert tree.result.tree_key == second.tree_key
        kept = tree_pb2.Tree.FromString(await stack.store.get(first.tree_key))
        assert kept.problem.question == "first?"

"""Those who watch a search: slow ones, absent ones, returning ones, and ones elsewhere."""

from __future__ import annotations

import asyncio

import pytest

from rstar.v1 import searcher_pb2, tree_pb2, types_pb2
from rstar_common.streams import search_events_subject, search_watch_subject
from rstar_searcher.live import MAX_BEHIND
from tests.integration.searcher.test_solve import solve
from tests.support.eventually import eventually
from tests.support.searcher_stack import new_id, searcher_stack
from tests.support.toy_world import ToyWorld


def talkative(meter):
    """Many large events."""

    class Verbose(ToyWorld):
        async def propose(self, question, path, options):
            candidates = await super().propose(question, path, options)
            return [type(c)(**_fields(c) | {"text": c.text + " #" * 6_000}) for c in candidates]

    return Verbose(meter, depth=8)


def _fields(value):
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


async def test_a_client_that_stops_reading_holds_nothing_up(nats_settings, object_store_settings):
    async with searcher_stack(
        nats_settings, object_store_settings, world=talkative, consume=False
    ) as stack:
        request = solve(rollouts=40, trees=4)
        stream = stack.searcher.SolveStream(request)
        events = aiter(stream)
        first = await anext(events)
        # Megabytes are told and nobody reads them: the search ends all the same.
        await eventually(lambda: stack.runner.live(first.search_id) is None, seconds=90)
        found = await stack.searcher.GetSearch(
            searcher_pb2.GetSearchRequest(search_id=first.search_id)
        )
        assert found.status == tree_pb2.SEARCH_STATUS_ANSWERED
        received = [event async for event in events]
        assert received[-1].finished.result.answer == found.result.answer
        assert received[-1].sequence > len(received) + 1, "what it was too slow for is a gap"
        assert len(received) < 2 * MAX_BEHIND


async def test_a_client_that_comes_back_attaches_to_the_running_search(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with searcher_stack(
        nats_settings, object_store_settings, world=gated, consume=False
    ) as stack:
        request = solve(key=new_id("key"), rollouts=5)
        stream = stack.searcher.SolveStream(request)
        first = await anext(aiter(stream))
        stream.cancel()
        await eventually(lambda: bool(stack.worlds) and stack.worlds[0].entered.is_set())
        again = stack.searcher.SolveStream(request)
        events = aiter(again)
        assert (await anext(events)).search_id == first.search_id
        gate.set()
        kinds = [event.WhichOneof("event") async for event in events]
        assert kinds[-1] == "finished"
        assert kinds.count("rollout_ended") == 5
        assert len(stack.worlds) == 1, "it was one search"


async def test_events_are_published_only_while_somebody_elsewhere_asks_for_them(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with searcher_stack(
        nats_settings, object_store_settings, world=gated, consume=False
    ) as stack:
        heard: list[str] = []

        async def hear(msg):
            heard.append(msg.subject)

        await stack.bus.subscribe("rstar.search.*.events", cb=hear)
        gate.set()
        await stack.searcher.Solve(solve())
        assert heard == []
        gate.clear()
        call = asyncio.ensure_future(stack.searcher.Solve(solve(key=new_id("key"))))
        await eventually(lambda: len(stack.worlds) == 2 and stack.worlds[1].entered.is_set())
        search_id = next(iter(stack.runner.running()))
        await stack.bus.publish(search_watch_subject(search_id), b"")
        await eventually(lambda: bool(heard))
        assert set(heard) == {search_events_subject(search_id)}
        gate.set()
        await call
        await eventually(lambda: len(heard) > 1)


@pytest.mark.parametrize(
    ("settings", "ended_by"),
    [
        ({"rollouts": 3}, tree_pb2.ENDED_BY_ROLLOUTS),
        ({"rollouts": 1000, "tokens": 400}, tree_pb2.ENDED_BY_GENERATED_TOKENS),
        ({"rollouts": 1000, "sandbox": 0.2}, tree_pb2.ENDED_BY_SANDBOX_SECONDS),
        ({"rollouts": 1000, "wall": 1.5, "candidates": 32}, tree_pb2.ENDED_BY_WALL_TIME),
        ({"rollouts": 1000, "max_depth": 1, "candidates": 2}, tree_pb2.ENDED_BY_EXHAUSTED),
        ({"rollouts": 1000, "stop_after_right": 1}, tree_pb2.ENDED_BY_SOLVED),
    ],
)
async def test_whatever_ends_a_search_is_named_and_the_best_so_far_is_kept(
    nats_settings, object_store_settings, settings, ended_by
):
    slow = ended_by == tree_pb2.ENDED_BY_WALL_TIME

    def world(meter):
        return ToyWorld(meter, depth=3, choices=10_000, delay=lambda: 0.02 if slow else 0.0)

    async with searcher_stack(
        nats_settings, object_store_settings, world=world, consume=False
    ) as stack:
        plain = {k: v for k, v in settings.items() if k not in ("tokens", "sandbox", "wall")}
        request = solve(**plain)
        if "tokens" in settings:
            request.settings.budget.max_generated_tokens = settings["tokens"]
        if "sandbox" in settings:
            request.settings.budget.max_sandbox_seconds = settings["sandbox"]
        if "wall" in settings:
            request.settings.budget.max_wall_time.FromMilliseconds(int(settings["wall"] * 1000))
        if "stop_after_right" in settings:
            request.settings.mode = types_pb2.SEARCH_MODE_TERMINAL_GUIDED
            request.problem.reference = "3"
        result = (await stack.searcher.Solve(request)).result
        assert result.ended_by == ended_by
        if ended_by == tree_pb2.ENDED_BY_EXHAUSTED:
            assert result.status == tree_pb2.SEARCH_STATUS_NO_ANSWER
        else:
            assert result.status == tree_pb2.SEARCH_STATUS_ANSWERED
            assert result.answer
        if ended_by == tree_pb2.ENDED_BY_SOLVED:
            assert result.verdict == types_pb2.VERDICT_EQUAL or any(
                t.verdict == types_pb2.VERDICT_EQUAL for t in result.trajectories
            )

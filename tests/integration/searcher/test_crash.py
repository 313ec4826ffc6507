"""What is begun twice, dies half-way or loses its servers leaves one result a problem."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from rstar.v1 import events_pb2, searcher_pb2, tree_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.errors import Unavailable
from rstar_common.streams import token
from rstar_searcher.batches import Batches
from rstar_searcher.intake import Intake
from rstar_searcher.records import LEASE_SECONDS
from tests.support.eventually import eventually
from tests.support.searcher_stack import DEFAULTS, new_id, searcher_stack, submission
from tests.support.servers import nats_server
from tests.support.toy_world import ToyWorld


async def test_an_intake_killed_half_way_begins_again_and_nothing_is_doubled(
    nats_settings, object_store_settings
):
    class Dying(Batches):
        left = 5

        async def put_work(self, item):
            if not self.left:
                raise asyncio.CancelledError
            self.left -= 1
            await super().put_work(item)

    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        batch = submission(new_id("batch"), 12)
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        subscription = await stack.bus.jetstream().pull_subscribe(
            "rstar.batches.submit", durable="intake", stream="RSTAR_BATCHES"
        )
        [msg] = await subscription.fetch(1)
        dying = Dying(stack.bus.jetstream(), stack.batches._bucket)
        with pytest.raises(asyncio.CancelledError):
            await Intake(dying, stack.store, DEFAULTS).handle(msg)
        state = (
            await stack.batch.GetBatch(searcher_pb2.GetBatchRequest(batch_id=batch.batch_id))
        ).batch
        assert state.state == searcher_pb2.BATCH_STATE_ACCEPTING
        await msg.nak()
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        state = await stack.finished(batch.batch_id)
        assert (state.total, state.done, state.dead) == (12, 12, 0)
        assert len({r.problem_id for r in await stack.results(batch.batch_id)}) == 12


async def test_a_work_message_delivered_twice_is_searched_once(
    nats_settings, object_store_settings
):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        batch = submission(new_id("batch"), 1)
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        await stack.finished(batch.batch_id)
        searched = len(stack.worlds)
        [result] = await stack.results(batch.batch_id)
        record = (await stack.records.get(result.result.search_id)).record
        item = events_pb2.WorkItem(
            batch_id=batch.batch_id,
            problem=batch.problems[0],
            settings=batch.settings,
            search_id=record.search_id,
        )
        await stack.batches.put_work(item)
        marker = submission(new_id("later"), 1)
        await stack.publish(marker.SerializeToString(), "application/protobuf")
        await stack.finished(marker.batch_id)
        assert len(stack.worlds) == searched + 1
        assert len(await stack.results(batch.batch_id)) == 1


async def test_who_loses_its_search_writes_nothing_and_its_caller_gets_the_others_result(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with (
        searcher_stack(
            nats_settings, object_store_settings, world=gated, consume=False, lease_seconds=60
        ) as one,
        searcher_stack(
            nats_settings, object_store_settings, consume=False, lease_seconds=0.001
        ) as two,
    ):
        request = searcher_pb2.SolveRequest(idempotency_key=new_id("key"))
        request.problem.question = "toy?"
        call = asyncio.ensure_future(one.searcher.Solve(request))
        await eventually(lambda: bool(one.worlds) and one.worlds[0].entered.is_set())
        # To the second, whose patience is short, the first looks dead.
        taken = (await two.searcher.Solve(request)).result
        gate.set()
        result = (await call).result
        assert (result.search_id, result.answer) == (taken.search_id, taken.answer)
        tree = tree_pb2.Tree.FromString(await one.store.get(taken.tree_key))
        assert tree.result == taken


async def test_a_searcher_that_stops_gives_its_searches_back_at_once(
    nats_settings, object_store_settings
):
    async with searcher_stack(
        nats_settings, object_store_settings, consume=False, lease_seconds=60
    ) as two:
        key = new_id("key")
        request = searcher_pb2.SolveRequest(idempotency_key=key)
        request.problem.question = "toy?"
        gate = asyncio.Event()

        def gated(meter):
            return ToyWorld(meter, gate=gate)

        async with searcher_stack(
            nats_settings, object_store_settings, world=gated, consume=False, lease_seconds=60
        ) as one:
            call = asyncio.ensure_future(one.searcher.Solve(request))
            await eventually(lambda: bool(one.worlds) and one.worlds[0].entered.is_set())
            one.running.cancel()
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call
            assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await two.searcher.Solve(request, timeout=20)).result.answer


async def test_callers_that_joined_a_search_which_cannot_begin_are_told(
    nats_settings, object_store_settings
):
    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        key = new_id("key")
        first = searcher_pb2.SolveRequest(idempotency_key=key)
        first.problem.question = "toy?"
        await stack.searcher.Solve(first)
        other = searcher_pb2.SolveRequest(idempotency_key=key)
        other.problem.question = "another?"
        calls = [stack.searcher.Solve(other, timeout=20) for _ in range(4)]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, grpc.aio.AioRpcError)
            assert outcome.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_work_waits_while_nats_is_away_and_nothing_is_lost(tmp_path, object_store_settings):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with nats_server(tmp_path) as first:
        port = int(first.servers[0].rpartition(":")[2])
        async with searcher_stack(first, object_store_settings, consume=False) as stack:
            batch = submission(new_id("batch"), 4)
            await stack.publish(batch.SerializeToString(), "application/protobuf")
    async with asyncio.TaskGroup() as group:
        stop_first, second_up = asyncio.Event(), asyncio.Event()

        async def restarting() -> None:
            async with nats_server(tmp_path, port=port):
                await stop_first.wait()
            async with nats_server(tmp_path, port=port):
                second_up.set()
                await done.wait()

        done = asyncio.Event()
        servers = group.create_task(restarting())
        async with searcher_stack(first, object_store_settings, world=gated) as stack:
            await eventually(lambda: len(stack.worlds) == 2)
            stop_first.set()
            await second_up.wait()
            gate.set()
            state = await stack.finished(batch.batch_id)
            assert (state.done, state.dead) == (4, 0)
            results = await stack.results(batch.batch_id)
            assert {r.result.status for r in results} == {tree_pb2.SEARCH_STATUS_ANSWERED}
        done.set()
        await servers


async def test_a_search_of_a_dead_searcher_is_begun_again_by_its_key(
    nats_settings, object_store_settings
):
    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        key = new_id("key")
        request = searcher_pb2.SolveRequest(idempotency_key=key)
        request.problem.question = "toy?"
        first = (await stack.searcher.Solve(request)).result
        stored = await stack.records.get(first.search_id)
        stored.record.state.status = tree_pb2.SEARCH_STATUS_RUNNING
        stored.record.state.ClearField("result")
        stored.record.renewed_at.FromSeconds(int(time.time() - 2 * LEASE_SECONDS))
        await stack.records._bucket.put(token(first.search_id), stored.record.SerializeToString())
        assert not (await stack.records.get(first.search_id)).running, "its lease ran out"
        again = (await stack.searcher.Solve(request)).result
        assert (again.search_id, again.answer) == (first.search_id, first.answer)
        assert len(stack.worlds) == 2, "it was searched again"


async def test_a_store_that_is_away_is_an_error_that_is_tried_again(
    nats_settings, object_store_settings
):
    class Away(ObjectStore):
        failures = 2

        async def create(self, key, data):
            if self.failures:
                self.failures -= 1
                raise Unavailable("object store: away")
            await super().create(key, data)

    async with searcher_stack(
        nats_settings, object_store_settings, max_attempts=5, make_store=Away
    ) as stack:
        batch = submission(new_id("batch"), 1)
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        assert (await stack.finished(batch.batch_id)).done == 1
        assert stack.store.failures == 0
        assert len(stack.worlds) == 3
        assert not any(world.proposed for world in stack.worlds[1:]), "the journal has it all"

"""Batches through a real nats-server and a real S3 server; the searched world is scripted."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace

import pytest
from google.protobuf import json_format

from rstar.v1 import events_pb2, searcher_pb2, tree_pb2, types_pb2
from rstar_common.errors import InvalidInput, NotFound, Overloaded, Unavailable
from rstar_common.rpc import call
from rstar_searcher import intake
from rstar_searcher.batches import Batches
from rstar_searcher.intake import Intake
from tests.support.consuming import Message
from tests.support.eventually import PATIENCE_SECONDS, POLL_SECONDS, eventually
from tests.support.searcher_stack import DEFAULTS, new_id, searcher_stack, submission
from tests.support.servers import nats_server
from tests.support.toy_world import ToyWorld


async def dead_letters(stack, batch_id=""):
    response = await stack.batch.ListDeadLetters(
        searcher_pb2.ListDeadLettersRequest(batch_id=batch_id, page_size=1000)
    )
    return list(response.dead_letters)


async def found_dead(stack, wanted):
    """The dead letter that is `wanted`, once it is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for letter in await dead_letters(stack):
                if wanted(letter):
                    return letter
            await asyncio.sleep(POLL_SECONDS)


async def found_gone(stack, batch_id):
    """Wait until a batch has no dead letter."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if not await dead_letters(stack, batch_id):
                return
            await asyncio.sleep(POLL_SECONDS)


@pytest.mark.parametrize("content_type", ["application/json", "application/protobuf"])
async def test_a_published_batch_comes_back_solved(
    nats_settings, object_store_settings, content_type
):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        batch = submission(new_id("batch"), 5)
        payload = (
            batch.SerializeToString()
            if "protobuf" in content_type
            else json_format.MessageToJson(batch).encode()
        )
        await stack.publish(payload, content_type)
        state = await stack.finished(batch.batch_id)
        assert (state.total, state.done, state.dead) == (5, 5, 0)
        results = await stack.results(batch.batch_id)
        assert sorted(r.problem_id for r in results) == [f"p{i}" for i in range(5)]
        assert all(r.result.status == tree_pb2.SEARCH_STATUS_ANSWERED for r in results)
        tree = await stack.store.get(results[0].result.tree_key)
        assert tree_pb2.Tree.FromString(tree).search_id == results[0].result.search_id


async def test_trees_that_came_from_elsewhere_are_not_searched_again(
    tmp_path, nats_settings, object_store_settings
):
    batch = submission(new_id("batch"), 3)
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        await stack.finished(batch.batch_id)
        found = {one.problem_id: one.result for one in await stack.results(batch.batch_id)}
    # The store is the same, the queue has never heard of it.
    for settings in (DEFAULTS, replace(DEFAULTS, rollouts=5)):
        async with (
            nats_server(tmp_path / str(settings.rollouts)) as elsewhere,
            searcher_stack(elsewhere, object_store_settings, defaults=settings) as stack,
        ):
            await stack.publish(batch.SerializeToString(), "application/protobuf")
            await stack.finished(batch.batch_id)
            again = {one.problem_id: one.result for one in await stack.results(batch.batch_id)}
            proposed = sum(len(world.proposed) for world in stack.worlds)
            if settings == DEFAULTS:
                assert (again, proposed) == (found, 0)
            else:
                assert again.keys() == found.keys()
                assert proposed > 0


async def test_the_same_batch_published_twice_is_solved_once(nats_settings, object_store_settings):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        batch = submission(new_id("batch"))
        payload = batch.SerializeToString()
        await stack.publish(payload, "application/protobuf")
        await stack.finished(batch.batch_id)
        await stack.publish(payload, "application/protobuf")
        marker = submission(new_id("later"), 1)  # worked on after the repetition
        await stack.publish(marker.SerializeToString(), "application/protobuf")
        await stack.finished(marker.batch_id)
        assert len(await stack.results(batch.batch_id)) == 3
        assert len(stack.worlds) == 3 + 1


async def test_another_batch_under_a_used_id_is_dead_lettered(nats_settings, object_store_settings):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        batch = submission(new_id("batch"), 1)
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        await stack.finished(batch.batch_id)
        batch.problems[0].question = "another?"
        payload = batch.SerializeToString()
        await stack.publish(payload, "application/protobuf")
        letter = await found_dead(stack, lambda letter: letter.payload == payload)
        assert "another batch" in letter.failure.message


async def test_who_asks_for_a_refused_batch_is_told_why_and_may_publish_it_again(
    nats_settings, object_store_settings
):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        batch = submission(new_id("batch"), 2)
        for rollouts in (5000, 6000):  # refused twice: the latest reason counts
            batch.settings.rollouts = rollouts
            payload = batch.SerializeToString()
            await stack.publish(payload, "application/protobuf")
            await found_dead(stack, lambda letter, one=payload: letter.payload == one)
        asked = searcher_pb2.GetBatchRequest(batch_id=batch.batch_id)
        with pytest.raises(InvalidInput) as refused:
            await call(stack.batch.GetBatch(asked))
        assert refused.value.field == "settings.rollouts"
        batch.settings.ClearField("rollouts")
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        await found_gone(stack, batch.batch_id)
        state = await stack.finished(batch.batch_id)
        assert (state.total, state.done, state.dead) == (2, 2, 0)


MALFORMED = {
    b"\x00\xffnot json": "JSON",
    b'{"batchId": "", "problems": [{}]}': "batch_id",
    b'{"batchId": "a b", "problems": [{}]}': "batch_id",
    b'{"batchId": "empty"}': "problems",
    b'{"batchId": "key", "problemsKey": "trees/x.jsonl"}': "inbox/",
    b'{"batchId": "x", "nonsense": 1}': "nonsense",
    b'{"batchId": "x", "problems": [{}], "settings": {"rollouts": 0}}': "settings.rollouts",
}


async def test_malformed_submissions_are_dead_lettered_with_their_reasons(
    nats_settings, object_store_settings
):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        for payload in MALFORMED:
            await stack.publish(payload)
        # Neither does one of them harm what comes after.
        batch = submission(new_id("batch"), 1)
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        assert (await stack.finished(batch.batch_id)).done == 1
        for payload, reason in MALFORMED.items():
            letter = await found_dead(stack, lambda letter, one=payload: letter.payload == one)
            assert reason in letter.failure.message, payload
            assert letter.failure.code == types_pb2.FAILURE_CODE_INVALID_INPUT


async def test_a_bad_problem_is_dead_lettered_and_its_neighbours_are_solved(
    nats_settings, object_store_settings
):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        batch = submission(new_id("batch"), 2)
        batch.problems.add(problem_id="p0", question="again?")
        batch.problems.add(problem_id="odd id", question="odd?")
        batch.problems.add(problem_id="silent")
        batch.problems.add(problem_id="long", question="?" * 20_000)
        batch.problems.add(problem_id="told", question="told?", reference="42")
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        state = await stack.finished(batch.batch_id)
        assert (state.total, state.done, state.dead) == (2, 2, 5)
        reasons = " ".join(d.failure.message for d in await dead_letters(stack, batch.batch_id))
        for expected in ("repeats 'p0'", "problems[3].problem_id", "problems[4].question",
                         "problems[5].question", "problems[6].reference"):  # fmt: skip
            assert expected in reasons


async def test_a_batch_whose_object_is_missing_is_refused_and_taken_in_once_it_is_there(
    nats_settings, object_store_settings
):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        key = f"inbox/{new_id('late')}.jsonl"
        batch = events_pb2.BatchSubmission(batch_id=new_id("batch"), problems_key=key)
        payload = batch.SerializeToString()
        first = await stack.publish(payload, "application/protobuf")
        await found_dead(stack, lambda letter: letter.batch_id == batch.batch_id)
        for submission_seen in (0, first):
            asked = searcher_pb2.GetBatchRequest(
                batch_id=batch.batch_id, submission=submission_seen
            )
            with pytest.raises(InvalidInput, match="no object"):
                await call(stack.batch.GetBatch(asked))
        await stack.store.put(key, json.dumps({"problemId": "p", "question": "toy 1?"}).encode())
        # Whoever publishes it again is not told of the refusal before.
        later = searcher_pb2.GetBatchRequest(batch_id=batch.batch_id, submission=first + 1)
        with pytest.raises(NotFound):
            await call(stack.batch.GetBatch(later))
        assert await stack.publish(payload, "application/protobuf") > first
        await found_gone(stack, batch.batch_id)
        assert (await stack.finished(batch.batch_id)).done == 1


async def test_a_batch_given_up_while_it_was_taken_in_says_so_until_it_is_published_again(
    nats_settings, object_store_settings
):
    class Dying(Batches):
        async def put_work(self, item):
            raise Unavailable("the queue is gone")

    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        batch = submission(new_id("batch"), 2)
        dying = Dying(stack.batches._jetstream, stack.batches._bucket)
        message = Message(batch)
        intake = Intake(dying, stack.store, DEFAULTS)
        with pytest.raises(Unavailable) as gone:
            await intake.handle(message)
        await intake.bury(message, gone.value, 12)
        asked = searcher_pb2.GetBatchRequest(batch_id=batch.batch_id)
        with pytest.raises(Overloaded, match="publish it again: the queue is gone"):
            await call(stack.batch.GetBatch(asked))
        await Intake(stack.batches, stack.store, DEFAULTS).handle(message)
        assert (await call(stack.batch.GetBatch(asked))).batch.total == 2


async def test_a_large_batch_is_read_from_the_inbox(nats_settings, object_store_settings):
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        batch_id = new_id("large")
        lines = [json.dumps({"problemId": f"p{i}", "question": f"toy {i}?"}) for i in range(10)]
        await stack.store.put(f"inbox/{batch_id}.jsonl", "\n".join([*lines, "{broken"]).encode())
        batch = events_pb2.BatchSubmission(
            batch_id=batch_id, problems_key=f"inbox/{batch_id}.jsonl"
        )
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        state = await stack.finished(batch_id)
        assert (state.total, state.done, state.dead) == (10, 10, 1)


async def test_a_problem_whose_services_fail_is_retried_then_dead_lettered_and_can_be_put_back(
    nats_settings, object_store_settings
):
    broken = True

    class Flaky(ToyWorld):
        async def execute(self, path, siblings, *, seed):
            if broken:
                raise Unavailable("sandbox: gone")
            return await super().execute(path, siblings, seed=seed)

    async with searcher_stack(nats_settings, object_store_settings, world=Flaky) as stack:
        batch = submission(new_id("batch"), 1)
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        assert (await stack.finished(batch.batch_id)).dead == 1
        [letter] = await dead_letters(stack, batch.batch_id)
        assert letter.attempts == 2
        assert letter.failure.code == types_pb2.FAILURE_CODE_UNAVAILABLE
        broken = False
        response = await stack.batch.RetryDeadLetters(
            searcher_pb2.RetryDeadLettersRequest(batch_id=batch.batch_id)
        )
        assert response.retried == 1
        assert (await stack.finished(batch.batch_id)).done == 1
        assert await dead_letters(stack, batch.batch_id) == []
        # One that was stored although the problem has its result counts no longer than that.
        await stack.batches.put_dead(letter, item=letter.problem_id)
        assert (await stack.finished(batch.batch_id)).dead == 1
        [result] = await stack.results(batch.batch_id)
        await asyncio.gather(*(stack.batches.put_result(result) for _ in range(3)))
        assert (await stack.finished(batch.batch_id)).dead == 0


async def test_a_paused_batch_waits_goes_on_when_resumed_and_ends_when_cancelled(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with searcher_stack(nats_settings, object_store_settings, world=gated) as stack:
        batch = submission(new_id("batch"), 8)
        named = {"batch_id": batch.batch_id}
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        await eventually(lambda: len(stack.worlds) == 2)  # two consumers, both at the gate
        paused = (await stack.batch.PauseBatch(searcher_pb2.PauseBatchRequest(**named))).batch
        assert paused.state == searcher_pb2.BATCH_STATE_PAUSED
        gate.set()
        await eventually(lambda: not stack.runner.running())
        assert len(await stack.results(batch.batch_id)) == 2, "running searches end normally"
        gate.clear()
        await stack.batch.ResumeBatch(searcher_pb2.ResumeBatchRequest(**named))
        await eventually(lambda: len(stack.worlds) > 2)
        await stack.batch.CancelBatch(searcher_pb2.CancelBatchRequest(**named))
        gate.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(await stack.results(batch.batch_id)) < 8:  # noqa: ASYNC110 -- kept in NATS
                await asyncio.sleep(0.05)
        ended = [one.result.status for one in await stack.results(batch.batch_id)]
        assert ended.count(tree_pb2.SEARCH_STATUS_CANCELLED) >= 4, "all but two more"


async def test_an_object_of_empty_lines_is_refused_for_their_number(
    nats_settings, object_store_settings, monkeypatch
):
    monkeypatch.setattr(intake, "MAX_LINES", 1000)
    async with searcher_stack(nats_settings, object_store_settings) as stack:
        key = f"inbox/{new_id('lines')}.jsonl"
        await stack.store.put(key, b"\n" * 1001)
        batch = events_pb2.BatchSubmission(batch_id=new_id("batch"), problems_key=key)
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        letter = await found_dead(stack, lambda letter: letter.batch_id == batch.batch_id)
        assert letter.failure.field == "problems_key"
        assert "has more than 1000 lines" in letter.failure.message


@pytest.mark.parametrize("page_token", ["\u00b2", "x", "-1", "9" * 5000])
async def test_a_page_token_of_somebody_elses_is_named(
    nats_settings, object_store_settings, page_token
):
    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        batch_id = new_id("batch")
        record = events_pb2.BatchRecord(batch_id=batch_id)
        await stack.batches.write(record, revision=0)
        for asked in (
            stack.batch.ListBatches(searcher_pb2.ListBatchesRequest(page_token=page_token)),
            stack.batch.ListBatchResults(
                searcher_pb2.ListBatchResultsRequest(batch_id=batch_id, page_token=page_token)
            ),
        ):
            with pytest.raises(InvalidInput) as failure:
                await call(asked)
            assert failure.value.field == "page_token"


async def test_results_can_be_read_in_pages_while_the_batch_runs(
    nats_settings, object_store_settings
):
    gate, numbers = asyncio.Event(), itertools.count()

    def gated(meter):
        return ToyWorld(meter, gate=gate if next(numbers) >= 2 else None)

    async with searcher_stack(nats_settings, object_store_settings, world=gated) as stack:
        batch = submission(new_id("batch"), 7)
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        await eventually(lambda: stack.worlds)  # it has been taken in
        seen, page, complete = [], "", False
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not complete:
                response = await stack.batch.ListBatchResults(
                    searcher_pb2.ListBatchResultsRequest(
                        batch_id=batch.batch_id, page_size=3, page_token=page
                    )
                )
                seen += [result.problem_id for result in response.results]
                page, complete = response.next_page_token, response.complete
                if len(seen) == 2:  # the others wait: what is read is not all
                    assert not complete
                    gate.set()
                await asyncio.sleep(0.01)  # results are kept in NATS
        assert sorted(seen) == sorted(f"p{i}" for i in range(7))

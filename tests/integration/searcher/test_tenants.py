"""Tenants on one queue: a fair share each, quotas refused by name, and no view of others."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from rstar.v1 import searcher_pb2, types_pb2
from rstar_cli.authority import Authority
from rstar_common import streams
from rstar_common.errors import Overloaded, Unavailable
from rstar_common.guard import Guard
from rstar_common.rpc import abort, error_from_rpc
from rstar_common.tokens import Verifier
from rstar_searcher.batches import Batches
from rstar_searcher.intake import Intake
from rstar_searcher.request import batch_search_id
from rstar_searcher.settings_wire import settings_from
from rstar_searcher.tenants import Tenant, Tenants
from tests.integration.searcher.test_queue import found_dead
from tests.integration.searcher.test_solve import solve
from tests.support.consuming import Message
from tests.support.eventually import eventually
from tests.support.searcher_stack import DEFAULTS, new_id, searcher_stack, submission
from tests.support.toy_world import ToyWorld

BIG, SMALL = "big", "small"
LIMITED, SPENDER, LEAVER = "limited", "spender", "leaver"
"""What the latter queues in one test is left there."""


async def published(stack, batch, tenant):
    await stack.publish(batch.SerializeToString(), "application/protobuf", tenant=tenant)


UNKNOWN = (grpc.StatusCode.NOT_FOUND,)
REFUSED_TOO = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def known(call, wanted, *, until_then=UNKNOWN):
    """What a repeated call answers once it is `wanted`; until then the batch may be unknown."""
    async with asyncio.timeout(60):
        while True:
            try:
                if wanted(answer := await call()):
                    return answer
            except grpc.aio.AioRpcError as error:
                if error.code() not in until_then:
                    raise
            await asyncio.sleep(0.05)


async def taken_in(stack, batch_id):
    """Until all of a batch's problems are queued."""
    request = searcher_pb2.GetBatchRequest(batch_id=batch_id)
    accepting = searcher_pb2.BATCH_STATE_ACCEPTING
    await known(lambda: stack.batch.GetBatch(request), lambda one: one.batch.state != accepting)


async def refusal(call) -> Overloaded:
    """With what a call is refused for a quota."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    error = error_from_rpc(refused.value)
    assert isinstance(error, Overloaded)
    return error


async def code(call) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_small_batch_does_not_wait_for_another_tenants_large_one(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()
    async with searcher_stack(
        nats_settings,
        object_store_settings,
        world=lambda meter: ToyWorld(meter, gate=gate),
        tenants=[Tenant(name=BIG), Tenant(name=SMALL)],
    ) as stack:
        large = submission(f"{BIG}/{new_id('b')}", 40, rollouts=1)
        little = submission(f"{SMALL}/{new_id('b')}", 5, rollouts=1)
        await published(stack, large, BIG)
        await taken_in(stack, large.batch_id)
        await eventually(lambda: len(stack.worlds) == 2)  # it has every place
        await published(stack, little, SMALL)
        await taken_in(stack, little.batch_id)
        gate.set()
        for batch in (little, large):
            state = await stack.finished(batch.batch_id)
            assert (state.done, state.dead) == (len(batch.problems), 0)
        ended = max(one.finished_at.ToNanoseconds() for one in await stack.results(little.batch_id))
        of_large = [one.finished_at.ToNanoseconds() for one in await stack.results(large.batch_id)]
        before = sum(at <= ended for at in of_large)
        assert before <= 5 + 2 * 2 + 1, "as many as the small one's, and those that had a place"


async def test_a_batch_beyond_the_quota_is_refused_by_name_and_taken_in_later(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()
    async with searcher_stack(
        nats_settings,
        object_store_settings,
        world=lambda meter: ToyWorld(meter, gate=gate),
        tenants=[Tenant(name=SMALL, max_queued=4)],
    ) as stack:
        first, second = (submission(f"{SMALL}/{new_id('b')}", n) for n in (3, 2))
        house = submission(new_id("batch"), 6)  # whose quota is another's
        await published(stack, first, SMALL)
        await taken_in(stack, first.batch_id)
        await published(stack, second, SMALL)
        await published(stack, house, "")
        await taken_in(stack, house.batch_id)
        letter = await found_dead(stack, lambda letter: letter.batch_id == second.batch_id)
        assert letter.failure.code == types_pb2.FAILURE_CODE_OVERLOADED
        asked = searcher_pb2.GetBatchRequest(batch_id=second.batch_id)
        refused = await refusal(stack.batch.GetBatch(asked))
        assert "max_queued of tenant small: 3 problems are queued, 2 more would exceed 4" in str(
            refused
        )
        assert refused.retry_after_seconds > 1
        gate.set()
        await stack.finished(first.batch_id)
        await eventually(lambda: not stack.runner.running())
        await published(stack, second, SMALL)
        await known(lambda: stack.batch.GetBatch(asked), lambda _: True, until_then=REFUSED_TOO)
        state = await stack.finished(second.batch_id)
        assert (state.total, state.done, state.dead) == (2, 2, 0)


async def test_an_intake_that_goes_on_does_not_count_its_own_problems_twice(
    nats_settings, object_store_settings
):
    asked = []

    async def admit(tenant, problems):
        asked.append((tenant.name, problems))
        if len(asked) > 1:
            raise Overloaded("they are all queued already")

    class Dying(Batches):
        left = 2

        async def put_work(self, item):
            if not self.left:
                raise Unavailable("gone")
            self.left -= 1
            await super().put_work(item)

    async with searcher_stack(nats_settings, object_store_settings, consume=False) as stack:
        tenants = Tenants([Tenant(name=SMALL, max_queued=4)])
        batches = Dying(stack.batches._jetstream, stack.batches._bucket, tenants)
        batch = submission(f"{SMALL}/{new_id('b')}", 4)
        intake = Intake(
            batches, stack.store, DEFAULTS, tenants, tenant=tenants.named(SMALL), admit=admit
        )
        message = Message(batch)
        with pytest.raises(Unavailable):
            await intake.handle(message)
        batches.left = 4
        await intake.handle(message)
        assert asked == [(SMALL, 4)]
        record, _ = await batches.record(batch.batch_id)
        assert (record.state, record.total) == (searcher_pb2.BATCH_STATE_RUNNING, 4)


async def test_a_tenant_at_its_limit_of_searches_leaves_the_other_places_free(
    nats_settings, object_store_settings
):
    gate = asyncio.Event()
    async with searcher_stack(
        nats_settings,
        object_store_settings,
        world=lambda meter: ToyWorld(meter, gate=gate),
        tenants=[Tenant(name=LIMITED, max_searches=1)],
    ) as stack:
        batch, house = submission(f"{LIMITED}/{new_id('b')}"), submission(new_id("batch"), 1)
        await published(stack, batch, LIMITED)
        await taken_in(stack, batch.batch_id)
        await eventually(stack.runner.running)
        await published(stack, house, "")
        wanted = batch_search_id(house.batch_id, "p0", settings_from(house.settings, DEFAULTS))
        await eventually(lambda: wanted in stack.runner.running())
        gate.set()
        for one in (batch, house):
            assert (await stack.finished(one.batch_id)).done == len(one.problems)


async def test_names_and_keys_of_others_are_refused(nats_settings, object_store_settings):
    async with searcher_stack(
        nats_settings, object_store_settings, tenants=[Tenant(name=SMALL), Tenant(name=BIG)]
    ) as stack:
        for batch_id, key, tenant, reason in (
            ("mine", "", SMALL, "must begin with 'small/'"),
            ("big/theirs", "", SMALL, "must begin with 'small/'"),
            ("small/of-the-house", "", "", "must not name a tenant"),
            ("small/by-key", "inbox/big/x.jsonl", SMALL, "must lie under inbox/small/"),
            ("by-key", "inbox/small/x.jsonl", "", "in a tenant's part of the inbox"),
        ):
            batch = submission(batch_id, 0 if key else 1)
            batch.problems_key = key
            payload = batch.SerializeToString()
            await published(stack, batch, tenant)
            letter = await found_dead(stack, lambda letter, one=payload: letter.payload == one)
            assert reason in letter.failure.message


@asynccontextmanager
async def guarded(tmp_path, nats_settings, object_store_settings, **more):
    """A searcher that asks for tokens, and a way to make calls as somebody of a tenant."""
    authority = Authority.create(tmp_path)
    guard = Guard(Verifier(authority.path("tokens", "pub").read_bytes()), abort)

    def bearer(tenant):
        token = authority.token("x", ["solve", "publish"], seconds=60, tenant=tenant)
        return {"metadata": (("authorization", f"Bearer {token}"),)}

    async with searcher_stack(
        nats_settings, object_store_settings, interceptors=[guard], **more
    ) as stack:
        yield stack, bearer


async def test_calls_beyond_a_tenants_quota_are_refused_and_others_go_on(
    tmp_path, nats_settings, object_store_settings
):
    gate = asyncio.Event()
    tenants = [Tenant(name=SMALL, max_interactive=1), Tenant(name=SPENDER, tokens_per_day=1)]
    async with guarded(
        tmp_path,
        nats_settings,
        object_store_settings,
        world=lambda meter: ToyWorld(meter, gate=gate),
        tenants=tenants,
    ) as (stack, bearer):
        running = asyncio.ensure_future(stack.searcher.Solve(solve(), **bearer(SMALL)))
        await eventually(lambda: stack.worlds)
        refused = await refusal(stack.searcher.Solve(solve(), **bearer(SMALL)))
        assert "max_interactive of tenant small" in str(refused)
        gate.set()
        await running
        await stack.searcher.Solve(solve(), **bearer(SMALL))
        await stack.searcher.Solve(solve(), **bearer(SPENDER))
        refused = await refusal(stack.searcher.Solve(solve(), **bearer(SPENDER)))
        assert "tokens_per_day of tenant spender" in str(refused)
        assert 1 < refused.retry_after_seconds <= 86_400
        # Its queued problems wait, and nobody else's.
        mine, theirs = submission(f"{SMALL}/{new_id('b')}"), submission(f"{SPENDER}/{new_id('b')}")
        await published(stack, theirs, SPENDER)
        await published(stack, mine, SMALL)
        results = searcher_pb2.ListBatchResultsRequest(batch_id=mine.batch_id)
        who = bearer(SMALL)
        await known(lambda: stack.batch.ListBatchResults(results, **who), lambda p: p.complete)
        results.batch_id = theirs.batch_id
        assert not (await stack.batch.ListBatchResults(results, **bearer(SPENDER))).results


async def test_a_search_whose_caller_has_left_counts_until_it_ends_and_its_tokens_once(
    tmp_path, nats_settings, object_store_settings
):
    gate = asyncio.Event()
    tenants = [Tenant(name=LEAVER, max_interactive=1, tokens_per_day=10**9)]
    async with guarded(
        tmp_path,
        nats_settings,
        object_store_settings,
        world=lambda meter: ToyWorld(meter, gate=gate),
        tenants=tenants,
    ) as (stack, bearer):
        keyed = solve()
        keyed.idempotency_key = new_id("key")
        leaving = stack.searcher.Solve(keyed, **bearer(LEAVER))
        await eventually(lambda: stack.worlds)
        leaving.cancel()
        await asyncio.wait([asyncio.ensure_future(code(leaving))])
        refused = await refusal(stack.searcher.Solve(solve(), **bearer(LEAVER)))
        assert "max_interactive of tenant leaver" in str(refused)
        gate.set()
        result = (await stack.searcher.Solve(keyed, **bearer(LEAVER))).result
        await stack.searcher.Solve(keyed, **bearer(LEAVER))
        usage = await streams.key_value(stack.bus.jetstream(), streams.USAGE)
        [key] = [key for key in await usage.keys() if key.startswith(f"{LEAVER}.")]
        assert int((await usage.get(key)).value) == result.cost.generated_tokens


async def test_a_tenant_sees_its_own_batches_alone(tmp_path, nats_settings, object_store_settings):
    tenants = [Tenant(name=SMALL), Tenant(name=BIG)]
    async with guarded(tmp_path, nats_settings, object_store_settings, tenants=tenants) as (
        stack,
        bearer,
    ):
        batch = submission(f"{BIG}/{new_id('b')}", 1)
        await published(stack, batch, BIG)
        named = searcher_pb2.GetBatchRequest(batch_id=batch.batch_id)
        who, done = bearer(BIG), searcher_pb2.BATCH_STATE_DONE
        await known(lambda: stack.batch.GetBatch(named, **who), lambda one: one.batch.state == done)
        request = searcher_pb2.ListBatchResultsRequest(batch_id=batch.batch_id)
        [result] = (await stack.batch.ListBatchResults(request, **bearer(BIG))).results
        tree = searcher_pb2.GetTreeRequest(search_id=result.result.search_id)
        everything = searcher_pb2.ListBatchesRequest(page_size=1000)
        seen = {}
        for tenant in ("", BIG, SMALL, "unknown"):
            who = bearer(tenant)
            batches = (await stack.batch.ListBatches(everything, **who)).batches
            seen[tenant] = (
                batch.batch_id in {one.batch_id for one in batches},
                await code(stack.batch.GetBatch(named, **who)),
                await code(
                    stack.batch.CancelBatch(
                        searcher_pb2.CancelBatchRequest(batch_id=batch.batch_id), **who
                    )
                ),
                await code(stack.searcher.GetTree(tree, **who)),
                await code(
                    stack.batch.ListDeadLetters(searcher_pb2.ListDeadLettersRequest(), **who)
                ),
                await code(
                    stack.batch.RetryDeadLetters(
                        searcher_pb2.RetryDeadLettersRequest(dead_letter_ids=["a.b"]), **who
                    )
                ),
            )
        ok, none, bad = (
            grpc.StatusCode.OK,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.INVALID_ARGUMENT,
        )
        no = grpc.StatusCode.PERMISSION_DENIED
        assert seen[""] == (True, ok, ok, ok, ok, none)
        assert seen[BIG] == (True, ok, ok, ok, bad, bad)
        assert seen[SMALL] == seen["unknown"] == (False, none, none, no, bad, bad)
        assert await code(stack.searcher.Solve(solve(), **bearer("unknown"))) is no

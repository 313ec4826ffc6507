"""Where calls carry tokens, a search is its starter's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc

from rstar.v1 import searcher_pb2, tree_pb2
from rstar_cli.authority import Authority
from rstar_common.guard import Guard
from rstar_common.rpc import abort
from rstar_common.tokens import Verifier
from tests.integration.searcher.test_solve import solve
from tests.support.eventually import eventually
from tests.support.searcher_stack import new_id, searcher_stack, submission
from tests.support.toy_world import ToyWorld


@asynccontextmanager
async def guarded(tmp_path, nats_settings, object_store_settings, **more):
    """A searcher that asks for tokens, and a way to make calls as somebody."""
    authority = Authority.create(tmp_path)
    guard = Guard(Verifier(authority.path("tokens", "pub").read_bytes()), abort)

    def bearer(subject, *scopes):
        token = authority.token(subject, list(scopes), seconds=60)
        return {"metadata": (("authorization", f"Bearer {token}"),)}

    async with searcher_stack(
        nats_settings, object_store_settings, interceptors=[guard], **more
    ) as stack:
        yield stack, bearer


async def status_of(call) -> grpc.StatusCode:
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def everything(stack, search_id, who) -> list[grpc.StatusCode]:
    """What somebody may do with a search; its end comes last."""
    return [
        await status_of(call)
        for call in (
            stack.searcher.GetSearch(searcher_pb2.GetSearchRequest(search_id=search_id), **who),
            stack.searcher.AttachSearch(
                searcher_pb2.AttachSearchRequest(search_id=search_id), timeout=60, **who
            ),
            stack.searcher.GetTree(searcher_pb2.GetTreeRequest(search_id=search_id), **who),
            stack.searcher.CancelSearch(
                searcher_pb2.CancelSearchRequest(search_id=search_id), **who
            ),
        )
    ]


REFUSED = [grpc.StatusCode.PERMISSION_DENIED] * 4


async def test_a_running_search_is_left_alone_by_all_but_its_starter_and_the_admin(
    tmp_path, nats_settings, object_store_settings
):
    gate = asyncio.Event()

    def gated(meter):
        return ToyWorld(meter, gate=gate)

    async with guarded(
        tmp_path, nats_settings, object_store_settings, world=gated, consume=False
    ) as (stack, bearer):
        ann, bob = bearer("ann", "solve"), bearer("bob", "solve", "publish", "train")
        key = new_id("key")
        running = asyncio.ensure_future(stack.searcher.Solve(solve(key=key), **ann))
        await eventually(lambda: bool(stack.worlds) and stack.worlds[0].entered.is_set())
        [search_id] = stack.runner.running()

        assert await everything(stack, search_id, bob) == REFUSED
        joining = stack.searcher.Solve(solve(key=key), **bob)
        assert await status_of(joining) is grpc.StatusCode.PERMISSION_DENIED
        assert not running.done(), "who may not join it does not end it by leaving"

        found = searcher_pb2.GetSearchRequest(idempotency_key=key)
        assert (await stack.searcher.GetSearch(found, **ann)).search_id == search_id
        cancel = searcher_pb2.CancelSearchRequest(search_id=search_id)
        assert (await stack.searcher.CancelSearch(cancel, **bearer("root", "admin"))).cancelled
        assert (await running).result.status == tree_pb2.SEARCH_STATUS_CANCELLED


async def test_a_tree_is_for_the_starter_of_its_search_and_a_batchs_for_publishers(
    tmp_path, nats_settings, object_store_settings
):
    async with guarded(tmp_path, nats_settings, object_store_settings) as (stack, bearer):
        ann, bob = bearer("ann", "solve"), bearer("bob", "solve")
        result = (await stack.searcher.Solve(solve(), **ann)).result
        assert await everything(stack, result.search_id, ann) == [grpc.StatusCode.OK] * 4
        assert await everything(stack, result.search_id, bob) == REFUSED

        batch_id = new_id("batch")
        await stack.publish(submission(batch_id, 1).SerializeToString(), "application/protobuf")
        page = searcher_pb2.ListBatchResultsRequest(batch_id=batch_id)
        publisher = bearer("pat", "publish")
        found = []
        async with asyncio.timeout(90):
            while not found:
                if await status_of(stack.batch.ListBatchResults(page, **publisher)) is (
                    grpc.StatusCode.OK
                ):
                    found = (await stack.batch.ListBatchResults(page, **publisher)).results
        tree = searcher_pb2.GetTreeRequest(search_id=found[0].result.search_id)
        assert (await stack.searcher.GetTree(tree, **publisher)).tree.nodes
        assert await status_of(stack.searcher.GetTree(tree, **ann)) is (
            grpc.StatusCode.PERMISSION_DENIED
        )


async def test_a_search_is_joined_before_its_record_is_written_by_its_starter_alone(
    tmp_path, nats_settings, object_store_settings
):
    recorded = asyncio.Event()
    async with guarded(tmp_path, nats_settings, object_store_settings, consume=False) as (
        stack,
        bearer,
    ):
        write = stack.records.write

        async def held(*arguments, **more):
            await recorded.wait()
            return await write(*arguments, **more)

        stack.records.write = held
        key = new_id("key")
        ann = bearer("ann", "solve")
        calls = [asyncio.ensure_future(stack.searcher.Solve(solve(key=key), **ann))]
        await eventually(lambda: bool(stack.runner.running()))
        calls.append(asyncio.ensure_future(stack.searcher.Solve(solve(key=key), **ann)))
        other = stack.searcher.Solve(solve(key=key), **bearer("bob", "solve"))
        assert await status_of(other) is grpc.StatusCode.PERMISSION_DENIED
        assert not any(call.done() for call in calls)
        recorded.set()
        first, second = [(await call).result for call in calls]
        assert first == second
        assert first.status == tree_pb2.SEARCH_STATUS_ANSWERED

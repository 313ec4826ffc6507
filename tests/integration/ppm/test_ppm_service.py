"""The PPM service over gRPC, on a real nats-server and a real S3 server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from rstar.v1 import ppm_pb2, ppm_pb2_grpc, types_pb2
from rstar_common import checkpoints
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected
from rstar_common.checkpoints import Manifest, Pointers
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.rpc import channel
from rstar_common.streams import POINTERS, ensure_topology, key_value
from tests.support.eventually import eventually
from tests.support.models import write_ppm
from tests.support.servers import Service, nats_server, service

pytestmark = pytest.mark.timeout(300)  # a service loads torch

CODE = types_pb2.STEP_KIND_CODE
FINAL = types_pb2.STEP_KIND_FINAL_CODE


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsSettings]:
    """A nats-server of this test's own: pointers are global to one."""
    async with nats_server(tmp_path / "nats") as settings:
        yield settings


def request(**fields: object) -> ppm_pb2.ScoreRequest:
    defaults: dict[str, object] = {
        "question": "What is 12 plus 34?",
        "path": [types_pb2.Step(text="# Step 1: add\nr = 12 + 34", kind=CODE)],
        "siblings": [
            types_pb2.Step(text="print(r)", kind=FINAL, output="46\n"),
            types_pb2.Step(text="print(r)", kind=FINAL, output="47\n"),
            types_pb2.Step(text="r = r + 1", kind=CODE),
        ],
    }
    return ppm_pb2.ScoreRequest(**(defaults | fields))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pinned(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service with one model that takes one call at a time."""
    directory = tmp_path_factory.mktemp("pinned")
    write_ppm(directory / "model")
    environment = {"RSTAR_PPM_MODEL": str(directory / "model"), "RSTAR_PPM_MAX_INFLIGHT": "1"}
    async with service("ppm", directory, environment) as running:
        yield running


@asynccontextmanager
async def asking(running: Service):
    async with channel(running.address) as wire:
        yield ppm_pb2_grpc.PpmServiceStub(wire)


async def test_a_pinned_model_scores_and_refuses_what_it_should(pinned: Service):
    async with asking(pinned) as stub:
        reply = await stub.Score(request())
        assert len(reply.scores) == 3
        assert all(-1 <= score <= 1 for score in reply.scores)
        # The output is part of the prefix that is scored.
        assert reply.scores[0] != reply.scores[1]
        again = await stub.Score(request())
        assert list(again.scores) == pytest.approx(list(reply.scores), abs=1e-5)
        assert again.computed_tokens < reply.computed_tokens
        info = await stub.GetPpmInfo(ppm_pb2.GetPpmInfoRequest())
        assert info.ppm_version == reply.ppm_version
        forged = types_pb2.Step(text="x", kind=CODE, token_ids=[10**6], tokenizer=info.tokenizer)
        for wrong, code, named in (
            (request(siblings=[forged]), grpc.StatusCode.INVALID_ARGUMENT, "token_ids"),
            (request(question=""), grpc.StatusCode.INVALID_ARGUMENT, "question"),
            (request(siblings=[]), grpc.StatusCode.INVALID_ARGUMENT, "siblings"),
            (request(question="9" * 600), grpc.StatusCode.INVALID_ARGUMENT, "path"),
            (request(ppm_version="ppm-gone"), grpc.StatusCode.NOT_FOUND, "ppm-gone"),
            (
                request(siblings=[types_pb2.Step(text="x")]),
                grpc.StatusCode.INVALID_ARGUMENT,
                "siblings[0].kind",
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Score(wrong)
            assert refused.value.code() is code
            assert named in refused.value.details()


async def test_calls_past_the_limit_are_refused_not_queued(pinned: Service):
    async with asking(pinned) as stub:
        replies = await asyncio.gather(
            *(stub.Score(request(question=f"What is {n} plus 34?")) for n in range(40)),
            return_exceptions=True,
        )
        codes = {reply.code() for reply in replies if isinstance(reply, grpc.aio.AioRpcError)}
        assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert any(isinstance(reply, ppm_pb2.ScoreResponse) for reply in replies)


async def test_a_promoted_version_takes_over_while_calls_run_and_the_old_one_stays_a_while(
    tmp_path: Path, nats: NatsSettings, object_store_settings: ObjectStoreSettings
):
    store = ObjectStore(object_store_settings)
    await store.ready()
    first = await publish(store, tmp_path / "first", seed=1)
    second = await publish(store, tmp_path / "second", seed=2)
    environment = {"RSTAR_PPM_CACHE_DIR": str(tmp_path / "cache")}
    async with (
        connected(nats, name="test") as client,
        service("ppm", tmp_path, environment, nats=nats, store=object_store_settings) as running,
        channel(running.address) as wire,
    ):
        stub = ppm_pb2_grpc.PpmServiceStub(wire)
        await ensure_topology(client.jetstream())
        pointers = Pointers(await key_value(client.jetstream(), POINTERS))
        with pytest.raises(grpc.aio.AioRpcError) as early:
            await stub.Score(request())
        assert early.value.code() is grpc.StatusCode.UNAVAILABLE

        await pointers.promote(first)
        await until_served(stub, first.version)
        seen: list[str] = []

        async def ask() -> None:
            while not seen or seen[-1] != second.version:
                seen.append((await stub.Score(request())).ppm_version)

        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(ask()) for _ in range(4)]
            await eventually(lambda: len(seen) > 8)
            await pointers.promote(second)
            await asyncio.wait(callers)
        assert set(seen) == {first.version, second.version}
        old = await stub.Score(request(ppm_version=first.version))
        assert old.ppm_version == first.version


async def publish(store: ObjectStore, directory: Path, *, seed: int) -> Manifest:
    manifest = write_ppm(directory, seed=seed)
    await checkpoints.publish(store, directory, manifest)
    return manifest


async def until_served(stub: ppm_pb2_grpc.PpmServiceAsyncStub, version: str) -> None:
    async with asyncio.timeout(60):
        while True:
            info = await stub.GetPpmInfo(ppm_pb2.GetPpmInfoRequest())
            if info.ppm_version == version:
                return
            # The service tells nobody of a swap; the wire offers no event.
            await asyncio.sleep(0.02)

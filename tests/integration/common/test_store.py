"""Objects, checkpoints and pointers on a real S3 server and a real nats-server."""

from __future__ import annotations

import asyncio
import uuid
from random import Random

import pytest

from rstar_common import streams
from rstar_common.artifacts import PIECE_BYTES, ObjectStore
from rstar_common.bus import connected, publish_once
from rstar_common.checkpoints import MANIFEST, Pointers, describe, fetch, publish, read_manifest
from rstar_common.errors import Conflict, InvalidInput, NotFound, Unavailable


@pytest.fixture
async def store(object_store_settings):
    store = ObjectStore(object_store_settings)
    await store.ready()
    return store


async def test_an_object_is_created_once(store):
    key = f"test/{uuid.uuid4().hex}"
    outcomes = await asyncio.gather(
        *(store.create(key, bytes([i])) for i in range(8)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
    assert len(await store.get(key)) == 1
    with pytest.raises(NotFound):
        await store.get(key + "/nothing")


async def test_keys_are_listed_by_prefix(store):
    prefix = f"test/{uuid.uuid4().hex}/"
    for name in ("a", "b"):
        await store.put(prefix + name, b"x")
    assert sorted([key async for key in store.keys(prefix)]) == [prefix + "a", prefix + "b"]


async def test_a_checkpoint_comes_back_as_it_went(store, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").write_bytes(Random(1).randbytes(2 * PIECE_BYTES + 1))
    (source / "empty.txt").touch()
    manifest = describe(source, model="policy", prompt_format="mini", metrics={"loss": 0.5})
    await publish(store, source, manifest)
    await publish(store, source, manifest)
    again = await read_manifest(store, "policy", manifest.version)
    assert dict(again.metrics) == {"loss": 0.5}
    directory = await fetch(store, again, tmp_path / "cache")
    assert (directory / "model.safetensors").read_bytes() == (
        source / "model.safetensors"
    ).read_bytes()
    assert (directory / "empty.txt").read_bytes() == b""


async def test_a_damaged_checkpoint_is_refused(store, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(uuid.uuid4().bytes)
    manifest = describe(tmp_path, model="policy", prompt_format="mini")
    await publish(store, tmp_path, manifest)
    await store.put(manifest.prefix + "model.safetensors", b"something else")
    with pytest.raises(Unavailable, match="damaged"):
        await fetch(store, manifest, tmp_path / "cache")
    assert not (tmp_path / "cache" / manifest.version / MANIFEST).exists()


async def test_a_promotion_is_told_to_those_who_watch(nats_settings, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(uuid.uuid4().bytes)
    manifest = describe(tmp_path, model="ppm", prompt_format="mini")
    async with connected(nats_settings, name="test") as bus:
        jetstream = bus.jetstream()
        await streams.ensure_topology(jetstream)
        pointers = Pointers(await streams.key_value(jetstream, streams.POINTERS))
        await pointers.promote(manifest)
        assert (await pointers.current("ppm")).version == manifest.version
        async for promoted in pointers.watch("ppm"):
            assert promoted.version == manifest.version
            break


async def test_a_subject_that_keeps_one_message_refuses_a_second(nats_settings):
    async with connected(nats_settings, name="test") as bus:
        jetstream = bus.jetstream()
        await streams.ensure_topology(jetstream)
        await streams.ensure_topology(jetstream)
        subject = streams.result_subject(uuid.uuid4().hex, "p")
        await publish_once(jetstream, subject, b"first")
        with pytest.raises(Conflict):
            await publish_once(jetstream, subject, b"second")


@pytest.mark.parametrize("name", ["", "a b", "a*", "x" * 129, "é"])
def test_an_odd_name_is_refused(name):
    with pytest.raises(InvalidInput, match="batch_id"):
        streams.check_name(name, field="batch_id")


async def test_the_keys_of_a_bucket_are_all_told_however_few_they_are(nats_settings):
    """The client's own listing misses keys that arrive before it has looked."""
    async with connected(nats_settings, name="test") as client:
        jetstream = client.jetstream()
        await streams.ensure_topology(jetstream)
        bucket = await streams.key_value(jetstream, streams.RUN_RECORDS)
        key = streams.token(uuid.uuid4().hex)
        assert key not in await streams.bucket_keys(jetstream, streams.RUN_RECORDS)
        await bucket.put(key, b"value")
        for _ in range(50):
            assert key in await streams.bucket_keys(jetstream, streams.RUN_RECORDS)

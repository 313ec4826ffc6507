"""What is brought back from a backup is what was there, and the system goes on with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest
from nats.js.errors import NotFoundError as NoStream

from rstar.v1 import searcher_pb2
from rstar_cli.backup import streams as saved_streams
from rstar_cli.backup.copying import back_up, restore
from rstar_cli.backup.manifest import faults, read
from rstar_common import streams
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.errors import Conflict, InvalidInput
from tests.support.searcher_stack import searcher_stack, submission
from tests.support.servers import nats_server, object_store

pytestmark = pytest.mark.timeout(300)  # four servers and four commands

LARGE = bytes(range(256)) * 4096 * 12
"""A checkpoint's file: more than one piece of any kind."""


class Interrupted(Exception):
    """As Ctrl-C."""


def silent(what: str, done: int, total: int) -> None:
    """Nobody watches."""


async def picture(bus: NatsSettings, settings: ObjectStoreSettings) -> dict[str, object]:
    """Everything that is kept, sequences and times included."""
    seen: dict[str, object] = {}
    async with connected(bus, name="test") as client:
        jetstream = client.jetstream()
        for name in saved_streams.ORDER:
            try:
                state = (await jetstream.stream_info(name)).state
            except NoStream:
                continue
            seen[name] = messages = []
            for sequence in range(1, state.last_seq + 1):
                try:
                    message = await jetstream.get_msg(name, seq=sequence)
                except NoStream:
                    continue  # acknowledged, or replaced
                messages.append((sequence, message.subject, message.data, message.headers))
    store = ObjectStore(settings)
    seen["objects"] = {
        key: await store.get(key) async for key in store.keys("") if key[:5] != "probe"
    }
    return seen


async def fill(bus: NatsSettings, settings: ObjectStoreSettings) -> None:
    """One batch is done, one waits; a dead letter, a run, a pointer, a checkpoint."""
    async with searcher_stack(bus, settings) as stack:
        await stack.publish(submission("done").SerializeToString(), "application/protobuf")
        await stack.finished("done")
        await stack.publish(b"no batch")
        jetstream = stack.bus.jetstream()
        pointers = await streams.key_value(jetstream, streams.POINTERS)
        for version in (b"policy-1", b"policy-2"):
            await pointers.put("policy", version)
        runs = await streams.key_value(jetstream, streams.RUN_RECORDS)
        await runs.put("a-run", b"round 2")
        await stack.store.create("checkpoints/policy/policy-2/model.safetensors", LARGE)
        await stack.store.create("inbox/it's the publisher's own nämé", b"lines")
        while not (await jetstream.stream_info(streams.DEAD)).state.messages:
            pass
    async with searcher_stack(bus, settings, consume=False) as stack:
        await stack.publish(submission("waits").SerializeToString(), "application/protobuf")


def rstar(*arguments: str, bus: NatsSettings, settings: ObjectStoreSettings, expect: int = 0):
    """The command against a system that is not the local stack."""
    system = {
        "NATS__SERVERS": json.dumps(bus.servers),
        "NATS__USER": bus.user,
        "NATS__PASSWORD": bus.password.get_secret_value(),
        "OBJECT_STORE__ENDPOINT": settings.endpoint,
        "OBJECT_STORE__ACCESS_KEY": settings.access_key.get_secret_value(),
        "OBJECT_STORE__SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "rstar_cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **{f"RSTAR_CLI_{key}": value for key, value in system.items()}},
    )
    assert done.returncode == expect, (done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout else done.stderr


async def test_a_system_is_brought_back_as_it_was_and_goes_on(tmp_path):
    backup = tmp_path / "backup"
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(nats_server(tmp_path / "nats"))
        settings = await stack.enter_async_context(object_store(tmp_path / "s3"))
        await fill(bus, settings)
        before = await picture(bus, settings)

        def interrupt(what: str, done: int, total: int) -> None:
            if (what, done) == ("objects", 2):
                raise Interrupted

        client = await stack.enter_async_context(connected(bus, name="test"))
        with pytest.raises(Interrupted):
            await back_up(client, ObjectStore(settings).bucket, backup, interrupt)
        with pytest.raises(InvalidInput, match="not finished"):
            await restore(client, ObjectStore(settings).bucket, backup, silent)

        first = rstar("backup", str(backup), "--json", bus=bus, settings=settings)
        assert first["objects"] == len(before["objects"])
        assert first["messages"] == sum(len(before[name]) for name in before if name != "objects")
        again = rstar("backup", str(backup), "--json", bus=bus, settings=settings)
        assert (again["objects"], again["moved_objects"]) == (first["objects"], 0)
        assert faults(backup, read(backup)) == []
        with pytest.raises(Conflict, match="is not empty"):
            await elsewhere(client, settings, backup)

        new_bus = await stack.enter_async_context(nats_server(tmp_path / "nats2"))
        new = await stack.enter_async_context(object_store(tmp_path / "s32"))
        async with connected(new_bus, name="services started once") as early:
            await streams.ensure_topology(early.jetstream())
        rstar("restore", str(backup), "--json", bus=new_bus, settings=new)
        assert await picture(new_bus, new) == before

        async with searcher_stack(new_bus, new) as resumed:
            await resumed.finished("waits")
            assert len(await resumed.results("waits")) == 3
            assert len(await resumed.results("done")) == 3
            record = await resumed.batch.GetBatch(searcher_pb2.GetBatchRequest(batch_id="done"))
            assert record.batch.state == searcher_pb2.BATCH_STATE_DONE

        damage(backup)
        said = rstar("restore", str(backup), bus=new_bus, settings=new, expect=2)
        assert "is damaged" in said


async def elsewhere(client, settings, backup) -> None:
    """A restore over a system that has since done more."""
    await client.jetstream().publish(streams.BATCH_SUBMIT, b"something new")
    await restore(client, ObjectStore(settings).bucket, backup, silent)


def damage(backup) -> None:
    largest = max(backup.glob("objects/*/*"), key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff\x00\xff")


def test_every_stream_and_bucket_is_saved_and_work_before_what_comes_of_it():
    known = {one.name for one in streams.STREAMS}
    known |= {f"KV_{bucket.bucket}" for bucket in streams.KEY_VALUES}
    assert set(saved_streams.ORDER) == known
    at = saved_streams.ORDER.index
    assert at(streams.BATCHES) < at(streams.WORK) < at(streams.RESULTS)
    assert at(streams.WORK) < at(streams.JOURNAL) < at(f"KV_{streams.SEARCH_RECORDS}")

"""What fails because something is away is counted apart from what fails by itself."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from nats.js.api import KeyValueConfig

from rstar_common.bus import connected
from rstar_common.consumer import Consumer, Route
from rstar_common.errors import Unavailable
from tests.support.eventually import eventually


@pytest.mark.parametrize(
    ("failure", "buried"), [(Unavailable("NATS has no leader"), False), (KeyError("a bug"), True)]
)
async def test_an_outage_is_no_attempt_at_a_message(nats_settings, failure, buried):
    name = f"t{uuid.uuid4().hex}"
    calls, dead, done = 0, [], asyncio.Event()

    async def handle(_msg):
        nonlocal calls
        calls += 1
        if calls == 1:
            raise failure
        done.set()

    async def bury(_msg, error, attempts):
        dead.append((error, attempts))

    async with connected(nats_settings, name="test") as bus:
        jetstream = bus.jetstream()
        await jetstream.add_stream(name=name, subjects=[f"{name}.*"])
        attempts = await jetstream.create_key_value(KeyValueConfig(bucket=name))
        route = Route(
            stream=name,
            durable="test",
            filter_subject=f"{name}.*",
            max_attempts=1,
            max_outages=2,
            fetch_seconds=0.2,
        )
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            consumer = Consumer(jetstream, attempts, route, handle, bury, concurrency=1)
            group.create_task(consumer.run(stop))
            await jetstream.publish(f"{name}.one", b"")
            await eventually(lambda: done.is_set() or bool(dead))
            stop.set()
        await jetstream.delete_stream(name)
    assert dead == ([(failure, 1)] if buried else [])

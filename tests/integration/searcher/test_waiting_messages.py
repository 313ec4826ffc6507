"""A message that is put aside again and again does not look like one that kills its workers."""

from __future__ import annotations

import asyncio

from nats.js.api import KeyValueConfig

from rstar_common.bus import connected
from rstar_common.consumer import Consumer, NotYet, Route
from tests.support.eventually import eventually
from tests.support.searcher_stack import new_id


async def test_a_message_that_was_put_aside_often_is_handled_in_the_end(nats_settings):
    name = new_id("waiting")
    handled = asyncio.Event()
    buried: list[Exception] = []
    tries = 0

    async def handle(_msg):
        nonlocal tries
        tries += 1
        if tries <= 6:
            raise NotYet("the batch is paused", delay_seconds=0.01)
        handled.set()

    async def bury(_msg, error, _attempts):
        buried.append(error)

    async with connected(nats_settings, name="test") as bus:
        jetstream = bus.jetstream()
        await jetstream.add_stream(name=name, subjects=[f"{name}.*"])
        attempts = await jetstream.create_key_value(KeyValueConfig(bucket=name))
        route = Route(
            stream=name,
            durable="test",
            filter_subject=f"{name}.*",
            max_deliveries=2,
            fetch_seconds=0.2,
        )
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            consumer = Consumer(jetstream, attempts, route, handle, bury, concurrency=1)
            group.create_task(consumer.run(stop))
            await jetstream.publish(f"{name}.one", b"")
            await eventually(lambda: handled.is_set() or bool(buried))
            stop.set()
        await jetstream.delete_stream(name)
    assert not buried
    assert tries == 7

"""A message that is put aside again and again does not look like one that kills its workers."""

from __future__ import annotations

import uuid

from nats.js.api import KeyValueConfig

from rstar_common.bus import connected
from rstar_common.consumer import Consumer, NotYet, Route
from tests.support.consuming import consume_one


async def test_a_message_that_was_put_aside_often_is_handled_in_the_end(nats_settings):
    tries = 0

    async def handle(_msg):
        nonlocal tries
        tries += 1
        if tries <= 6:
            raise NotYet("the batch is paused", delay_seconds=0.01)

    buried = await consume_one(nats_settings, handle, until=lambda: tries == 7, max_deliveries=2)
    assert not buried


async def test_a_consumer_takes_over_what_its_settings_say_now(nats_settings):
    name = f"t{uuid.uuid4().hex}"
    async with connected(nats_settings, name="test") as bus:
        jetstream = bus.jetstream()
        await jetstream.add_stream(name=name, subjects=[f"{name}.*"])
        attempts = await jetstream.create_key_value(KeyValueConfig(bucket=name))
        for seconds in (30.0, 100.0):
            route = Route(
                stream=name, durable="d", filter_subject=f"{name}.*", ack_wait_seconds=seconds
            )
            await Consumer(jetstream, attempts, route, unused, unused, concurrency=1).open()
            assert (await jetstream.consumer_info(name, "d")).config.ack_wait == seconds


async def unused(*_: object) -> None:
    raise AssertionError("nothing is consumed here")

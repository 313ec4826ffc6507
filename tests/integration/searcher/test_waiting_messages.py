"""A message that is put aside again and again does not look like one that kills its workers."""

from __future__ import annotations

from rstar_common.consumer import NotYet
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

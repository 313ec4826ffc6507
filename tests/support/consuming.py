"""A stream of one's own with a consumer on it, for tests of what becomes of one message."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

from nats.aio.msg import Msg
from nats.js.api import KeyValueConfig

from rstar.v1 import events_pb2
from rstar_common.bus import connected
from rstar_common.config import NatsSettings
from rstar_common.consumer import Consumer, Route
from tests.support.eventually import eventually


class Message:
    """As much of a message as the intake looks at."""

    def __init__(self, batch: events_pb2.BatchSubmission) -> None:
        self.data = batch.SerializeToString()
        self.headers = {"Content-Type": "application/protobuf"}
        self.metadata = SimpleNamespace(sequence=SimpleNamespace(stream=1))


async def consume_one(
    settings: NatsSettings,
    handle: Callable[[Msg], Awaitable[None]],
    *,
    until: Callable[[], bool],
    **limits: int,
) -> list[tuple[Exception, int]]:
    """Publish one message and handle it until `until()` or its burial.

    Returns why it was buried and after how many attempts; nothing if it was not.
    `limits` are those of the `Route`.
    """
    name = f"t{uuid.uuid4().hex}"
    buried: list[tuple[Exception, int]] = []

    async def bury(_msg: Msg, error: Exception, attempts: int) -> None:
        buried.append((error, attempts))

    async with connected(settings, name="test") as bus:
        jetstream = bus.jetstream()
        await jetstream.add_stream(name=name, subjects=[f"{name}.*"])
        attempts = await jetstream.create_key_value(KeyValueConfig(bucket=name))
        route = Route(
            stream=name,
            durable="test",
            filter_subject=f"{name}.*",
            fetch_seconds=0.2,
            **limits,
        )
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            consumer = Consumer(jetstream, attempts, route, handle, bury, concurrency=1)
            group.create_task(consumer.run(stop))
            await jetstream.publish(f"{name}.one", b"")
            await eventually(lambda: until() or bool(buried))
            stop.set()
        await jetstream.delete_stream(name)
    return buried

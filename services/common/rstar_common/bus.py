"""Reach NATS, and publish once. What reads streams is in `consumer`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from urllib.parse import urlsplit

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError

from rstar_common.config import NatsSettings
from rstar_common.errors import Conflict, Unavailable
from rstar_common.lifecycle import Component
from rstar_common.nats_roles import inbox
from rstar_common.tracing import headers as trace_headers

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 60.0
"""How long a starting service waits for NATS before it gives up and is restarted."""

PING_SECONDS = 10
"""After two pings without an answer the connection counts as lost: one that a firewall forgot
would otherwise be believed in for six minutes, the client's own default."""

WATCH_SECONDS = 5.0
STUCK_SECONDS = 60.0
"""How long a client may be without a connection while others can be made."""

PUBLISH_SECONDS = 10.0
_ALREADY_THERE = 10077
"""JetStream error code: maximum messages per subject exceeded."""


@asynccontextmanager
async def connected(settings: NatsSettings, *, name: str) -> AsyncGenerator[Client]:
    """Connect to NATS, retrying for a while at start and for ever afterwards.

    Raises:
        Unavailable: NATS did not answer within `CONNECT_SECONDS`; names the setting.
    """
    last: Exception | None = None

    async def on_error(error: Exception) -> None:
        nonlocal last
        last = error
        logger.warning("nats: %s", error)

    async def on_disconnect() -> None:
        logger.warning("nats: disconnected; reconnecting")

    async def on_reconnect() -> None:
        logger.info("nats: connected again")

    deadline = asyncio.get_running_loop().time() + CONNECT_SECONDS
    while True:
        client = Client()
        try:
            async with asyncio.timeout_at(deadline):  # the client itself never gives up
                await client.connect(
                    settings.servers,
                    name=name,
                    user=settings.user or None,
                    password=settings.password.get_secret_value() or None,
                    inbox_prefix=inbox(settings.user),
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.25,  # type: ignore[arg-type]  # it is slept for
                    connect_timeout=5,
                    ping_interval=PING_SECONDS,
                    error_cb=on_error,
                    disconnected_cb=on_disconnect,
                    reconnected_cb=on_reconnect,
                )
            break
        except (nats.errors.Error, OSError) as error:  # TimeoutError is an OSError
            await client.close()
            if asyncio.get_running_loop().time() >= deadline:
                raise Unavailable(
                    f"nats.servers: cannot use {settings.servers}: {last or error}"
                ) from error
            logger.warning("nats.servers: cannot reach %s yet: %s", settings.servers, error)
            # The first connection has no event to wait on.
            await asyncio.sleep(1.0)
    try:
        yield client
    finally:
        await client.close()


def watch(client: Client, settings: NatsSettings) -> Component:
    """Build the component that ends a service whose connection to NATS will not come back.

    The client reconnects for as long as NATS is away. But an error it does not know closes it for
    good, and a task of its own that died leaves it waiting: then a new process does better. It is
    not asked by `flush`: a reply that comes after its timeout ends the client's reading.
    """

    async def run(stop: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        well = clock()
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await stop.wait()
            if client.is_closed:
                raise Unavailable("nats: the client has given up")
            if client.is_connected or not await _reachable(settings):
                well = clock()
            elif clock() - well > STUCK_SECONDS:
                raise Unavailable("nats: others are served, this client does not connect")

    return run


async def _reachable(settings: NatsSettings) -> bool:
    """Whether a server greets who comes; a NATS client that fails to connect leaves its socket."""
    for server in settings.servers:
        url = urlsplit(server)
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                reader, writer = await asyncio.open_connection(url.hostname, url.port or 4222)
                with closing(writer):
                    if (await reader.readline()).startswith(b"INFO"):
                        return True
        except OSError:  # a timeout is one
            continue
    return False


async def publish_once(
    jetstream: JetStreamContext,
    subject: str,
    payload: bytes,
    *,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Publish to a stream, with the trace at hand, wait until it is stored, and give its sequence.

    Raises:
        Conflict: the stream holds a message on this subject and keeps only one.
        Unavailable: JetStream did not confirm in time.
    """
    try:
        stored = await jetstream.publish(
            subject,
            payload,
            timeout=PUBLISH_SECONDS,
            headers={**trace_headers(), **(headers or {})} or None,
        )
    except APIError as error:
        if error.err_code == _ALREADY_THERE:
            raise Conflict(f"{subject} already holds a message") from error
        raise Unavailable(f"JetStream refused {subject}: {error.description}") from error
    except nats.errors.Error as error:
        raise Unavailable(f"JetStream did not confirm {subject}: {error}") from error
    return stored.seq

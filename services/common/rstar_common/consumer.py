"""Consume a stream of NATS, with an ack policy that is a table.

Delivery is at least once: a handler must be safe to run twice on one message.
What the handler does decides what happens to the message:

    returns                ack
    Conflict               ack: the effect exists, the job is done
    Overloaded             hold the message, wait as told, call again
    InvalidInput           dead letter: it will never succeed
    NotYet                 give it back, ask again later; not an attempt
    Unavailable            give it back with backoff; dead letter after `max_outages` of them
    any other exception    give it back with backoff; dead letter on attempt `max_attempts`
    cancellation           give it back at once, so another replica need not wait

Attempts are counted by us, in a bucket: a message given back by a drain is not one. A
message delivered more than `max_deliveries` times is buried unopened, for it probably
kills its workers. The server's own limit stays off: past it the server keeps a message
without telling anyone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError, BadRequestError, KeyNotFoundError, NotFoundError
from nats.js.kv import KeyValue

from rstar_common.errors import Conflict, InvalidInput, Overloaded, RstarError, Unavailable
from rstar_common.tracing import Span, continued, waited

logger = logging.getLogger(__name__)

FETCH_SECONDS = 1.0
"""Longest a worker waits on an empty stream before it looks at `stop` again."""


EVERYTHING = ">"
"""Filter of a consumer that gets all of its stream. With any other the server looks at every
subject of the stream for each message it hands out: 6 ms at 30,000 subjects, 0.3 ms without."""

LONGEST_PAUSE_SECONDS = 30.0
"""Between two attempts."""


class NotYet(RstarError):
    """The message is fine but its time has not come (its batch is paused)."""

    def __init__(self, message: str, *, delay_seconds: float) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which messages a consumer reads, and how long it believes in them."""

    stream: str
    durable: str
    filter_subject: str
    traced_as: str = "message"
    """Name of the span that handling one is."""

    ack_wait_seconds: float = 30.0
    fetch_seconds: float = FETCH_SECONDS
    max_attempts: int = 5
    max_outages: int = 12
    """Failures because something was away: no fault of the message. With the pauses between them
    some minutes of an outage pass; a message that makes a service fail each time must end too."""

    max_deliveries: int = 40
    max_held: int = 100_000
    """Messages that all who share the durable may hold at once, those put aside included."""


class Consumer:
    """`concurrency` workers, each holding at most one message.

    Backpressure is the absence of a fetch: a busy worker asks for nothing, so
    the backlog stays in the stream, where other replicas can reach it.
    """

    def __init__(
        self,
        jetstream: JetStreamContext,
        attempts: KeyValue,
        route: Route,
        handler: Callable[[Msg], Awaitable[None]],
        bury: Callable[[Msg, Exception, int], Awaitable[None]],
        *,
        concurrency: int,
    ) -> None:
        """Wire a consumer.

        `bury(message, error, attempts)` stores the dead letter; only then is the message
        removed, so a crash in between leaves a duplicate and not a loss.
        """
        self._jetstream = jetstream
        self._attempts = attempts
        self._route = route
        self._handler = handler
        self._bury = bury
        self._concurrency = concurrency

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; messages already held are finished."""
        await self.open()
        route = self._route
        subscription = await self._jetstream.pull_subscribe_bind(route.durable, stream=route.stream)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._work(subscription, stop))

    async def open(self) -> None:
        """Make the durable consumer, or change its filter, its patience and how much may be held.

        Raises:
            InvalidInput: the stream does not carry its subject.
        """
        route = self._route
        config = ConsumerConfig(
            name=route.durable,
            durable_name=route.durable,
            filter_subject=route.filter_subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=route.ack_wait_seconds,
            max_deliver=-1,
            max_ack_pending=route.max_held,
        )
        try:
            known = (await self._jetstream.consumer_info(route.stream, route.durable)).config
        except NotFoundError:
            known = None
        wanted = (route.max_held, route.filter_subject, route.ack_wait_seconds)
        if known and wanted == (
            known.max_ack_pending,
            known.filter_subject or EVERYTHING,
            known.ack_wait,
        ):
            return
        try:
            await self._jetstream.add_consumer(route.stream, config)
        except (BadRequestError, nats.errors.TimeoutError) as error:
            if known:  # others still run with other settings, or the server's users are older
                logger.warning("%s stays as it is: %s", route.durable, error)
                return
            raise InvalidInput(
                f"{route.stream} of an older release? `python -m rstar_common.prepare` gives it"
                f" what it lacks: {error}",
                field=route.filter_subject,
            ) from error

    async def _work(
        self, subscription: JetStreamContext.PullSubscription, stop: asyncio.Event
    ) -> None:
        while not stop.is_set():
            try:
                [msg] = await subscription.fetch(1, timeout=self._route.fetch_seconds)
            except nats.errors.TimeoutError:
                continue
            except nats.errors.Error as error:
                logger.warning("fetch from %s: %s", self._route.stream, error)
                # The client reconnects by itself; a short pause keeps this from spinning.
                await asyncio.sleep(FETCH_SECONDS)
                continue
            await self.settle(msg)

    async def settle(self, msg: Msg) -> None:
        """Handle a message and acknowledge it as the table says."""
        delivery = msg.metadata.num_delivered
        with continued(self._route.traced_as, msg.headers or {}, delivery=delivery) as span:
            if delivery == 1:
                waited("queue", msg.metadata.timestamp.timestamp())
            await self._handled(msg, span)

    async def _handled(self, msg: Msg, span: Span) -> None:
        route = self._route
        key = f"{route.stream}.{msg.metadata.sequence.stream}"
        waits = f"{key}.waits"
        try:
            if await self._kills_its_workers(msg, waits):
                raise InvalidInput("delivered too often: it seems to kill its workers")
            async with _kept_alive(msg, every=route.ack_wait_seconds / 3):
                await self._until_admitted(msg)
        except asyncio.CancelledError:
            await _quietly(msg.nak())
            raise
        except Conflict:
            await _quietly(msg.ack_sync())
        except NotYet as error:
            span.set(put_aside=True)
            await self._count(waits, add=1)
            await _quietly(msg.nak(delay=error.delay_seconds))
        except InvalidInput as error:
            span.fail("InvalidInput")
            await self._give_up(msg, error, await self._count(key))
        except Exception as error:
            span.fail(type(error).__name__)
            if isinstance(error, Unavailable):
                attempt, most = await self._count(f"{key}.outages", add=1), route.max_outages
            else:
                attempt, most = await self._count(key, add=1), route.max_attempts
            if isinstance(error, RstarError):
                logger.warning("attempt %d at %s: %s", attempt, msg.subject, error)
            else:
                logger.exception("attempt %d at %s", attempt, msg.subject)
            if attempt >= most:
                await self._give_up(msg, error, attempt)
            else:
                await _quietly(msg.nak(delay=min(LONGEST_PAUSE_SECONDS, 2.0 ** (attempt - 1))))
        else:
            await _quietly(msg.ack_sync())

    async def put_back(self, msg: Msg) -> None:
        """Give a message back unopened, at once; not an attempt."""
        await self._count(f"{self._route.stream}.{msg.metadata.sequence.stream}.waits", add=1)
        await _quietly(msg.nak())

    async def _kills_its_workers(self, msg: Msg, waits: str) -> bool:
        deliveries, most = msg.metadata.num_delivered, self._route.max_deliveries
        # A message that was put aside, for a paused batch say, did nothing to anybody.
        return deliveries > most and deliveries - await self._count(waits) > most

    async def _until_admitted(self, msg: Msg) -> None:
        while True:
            try:
                return await self._handler(msg)
            except Overloaded as error:
                await asyncio.sleep(error.retry_after_seconds)

    async def _give_up(self, msg: Msg, error: Exception, attempts: int) -> None:
        try:
            await self._bury(msg, error, attempts)
        except RstarError as failure:
            logger.warning("cannot store a dead letter yet: %s", failure)
            await _quietly(msg.nak(delay=5.0))
        else:
            await _quietly(msg.ack_sync())

    async def _count(self, key: str, *, add: int = 0) -> int:
        try:
            entry = await self._attempts.get(key)
            count = int(entry.value or b"0") + add
        except KeyNotFoundError:
            count = add
        except (nats.errors.Error, APIError):
            return add
        if add:
            try:
                await self._attempts.put(key, str(count).encode())
            except (nats.errors.Error, APIError):
                logger.warning("cannot count an attempt at %s", key)
        return count


async def _quietly(acknowledgement: Awaitable[object]) -> None:
    # A lost acknowledgement means one more delivery, which handlers must bear anyway.
    try:
        await acknowledgement
    except nats.errors.Error as error:
        logger.warning("acknowledgement lost: %s", error)


@asynccontextmanager
async def _kept_alive(msg: Msg, *, every: float) -> AsyncGenerator[None]:
    """Reset the server's ack timer for as long as the body runs."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(every)
            await _quietly(msg.in_progress())

    heartbeat = asyncio.create_task(beat())
    try:
        yield
    finally:
        heartbeat.cancel()
        await asyncio.gather(heartbeat, return_exceptions=True)

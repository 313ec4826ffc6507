"""Takes work from tenants in turn, so that nobody's 100,000 problems hold up another's ten.

Every tenant has a durable consumer of its own. A free place goes to the first tenant in `Turns`
that has work: it is asked for one message, without waiting. When nobody has any, all are asked
at once, and answer when something comes. What then comes without a free place goes back.
A message in hand is settled by the consumer of its tenant, as any other (`consumer`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from rstar_common.consumer import FETCH_SECONDS, Consumer, Route
from rstar_searcher.turns import Turns

logger = logging.getLogger(__name__)

LATE_SECONDS = 2.0
"""How much longer than it may wait a request for work is waited for."""

_STATUS = "Status"
"""Header of an answer that is no message."""

_NOTHING = ("404", "408")
"""None there, and none came."""


class Taker:
    """The places of one searcher, and who has them."""

    def __init__(
        self,
        bus: Client,
        consumers: Mapping[str, tuple[Route, Consumer]],
        turns: Turns,
        *,
        places: int,
        spent: Callable[[str], Awaitable[bool]],
    ) -> None:
        """Wire a taker: a consumer a tenant; nothing is taken of those that have `spent` theirs."""
        self._bus = bus
        self._consumers = consumers
        self._turns = turns
        self._free = places
        self._spent = spent
        self._changed = asyncio.Event()
        """A place became free, or a request for work was answered."""

        self._stopping = False

        self._asked: set[str] = set()
        """Tenants that have a request open: nothing was there when it was made."""

    async def run(self, stop: asyncio.Event) -> None:
        """Take and handle until `stop`; what is in hand then is finished."""
        for _, consumer in self._consumers.values():
            await consumer.open()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(self._wake_at(stop))
            while not stop.is_set():
                self._changed.clear()
                if not await self._fill_one(group):
                    await self._changed.wait()
            stopping.cancel()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stopping = True
        self._changed.set()

    async def _fill_one(self, group: asyncio.TaskGroup) -> bool:
        """Give one place away; False if there is none or nobody wants it yet."""
        if not self._held():
            return False
        open_to = [name for name in self._turns.order() if name not in self._asked]
        ready: list[str] = []
        try:
            ready += [name for name in open_to if not await self._spent(name)]
            for name in ready:
                if msg := await self._ask(name, wait_seconds=0.0):
                    self._begin(group, name, msg)
                    return True
        finally:
            self._free += 1
        for name in ready:
            self._asked.add(name)
            group.create_task(self._await(group, name))
        if len(ready) < len(open_to):  # nothing tells when a new day begins
            group.create_task(self._look_again())
        return False

    def _held(self) -> bool:
        """Hold a place while it is asked for; others ask at the same time."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def _look_again(self) -> None:
        await asyncio.sleep(FETCH_SECONDS)
        self._changed.set()

    async def _await(self, group: asyncio.TaskGroup, name: str) -> None:
        """Wait for a problem of one tenant; one that comes after the end is put back."""
        try:
            route, _ = self._consumers[name]
            if msg := await self._ask(name, wait_seconds=route.fetch_seconds):
                await self._came(group, name, msg)
        finally:
            self._asked.remove(name)
            self._changed.set()

    async def _came(self, group: asyncio.TaskGroup, name: str, msg: Msg) -> None:
        if not self._stopping and self._held():
            try:
                # Asked for before the last of its tokens were spent, perhaps.
                if not await self._spent(name):
                    self._begin(group, name, msg)
                    return
            finally:
                self._free += 1
        await self._consumers[name][1].put_back(msg)

    async def _ask(self, name: str, *, wait_seconds: float) -> Msg | None:
        route, _ = self._consumers[name]
        request: dict[str, object] = {"batch": 1}
        request |= {"expires": int(wait_seconds * 1e9)} if wait_seconds else {"no_wait": True}
        try:
            msg = await self._bus.request(
                f"$JS.API.CONSUMER.MSG.NEXT.{route.stream}.{route.durable}",
                json.dumps(request).encode(),
                timeout=wait_seconds + LATE_SECONDS,
                old_style=True,  # a message keeps its subject: only its own inbox knows it
            )
        except nats.errors.Error as error:
            logger.warning("taking from %s: %s", route.durable, error)
            # The client reconnects by itself; a short pause keeps this from spinning.
            await asyncio.sleep(FETCH_SECONDS)
            return None
        status = (msg.headers or {}).get(_STATUS)
        if status is not None and status not in _NOTHING:
            logger.warning("taking from %s: %s %s", route.durable, status, msg.headers)
            await asyncio.sleep(FETCH_SECONDS)
        return msg if status is None else None

    def _begin(self, group: asyncio.TaskGroup, name: str, msg: Msg) -> None:
        self._free -= 1
        self._turns.taken(name)
        group.create_task(self._handle(name, msg))

    async def _handle(self, name: str, msg: Msg) -> None:
        try:
            await self._consumers[name][1].settle(msg)
        finally:
            self._free += 1
            self._turns.ended(name)
            self._changed.set()

"""Ask one tier for one search: its preferred replica first, then others, until one answers."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakSet

from prometheus_client import Counter

from rstar_common.errors import DeadlineExceeded, Overloaded, Unavailable
from rstar_common.rpc import call
from rstar_searcher.meter import Meter
from rstar_searcher.window import Window

DEADLINE_MARGIN_SECONDS = 1.0
"""Calls may outlast their search by this: the driver ends the search and cancels them."""

LONG_SECONDS = 86_400.0
"""For calls of which none is too long."""

GIVE_UP_SECONDS = 60.0
"""Longest one question is asked again, from its first failure on, before the search fails."""

FIRST_BACKOFF_SECONDS = 0.05
LAST_BACKOFF_SECONDS = 2.0

RETRIES = Counter("rstar_searcher_retries_total", "Calls made again.", ["service", "reason"])

StubT = TypeVar("StubT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Replicas(Generic[StubT]):
    """Stubs of one service by address."""

    service: str
    stubs: dict[str, StubT]
    window: Window
    """Of all searches of this process together."""

    call_seconds: float = LONG_SECONDS
    """Longest one call may take: a replica may live and never answer."""

    users: dict[str, WeakSet[object]] = field(default_factory=dict[str, WeakSet[object]])
    """Searches that keep to each replica, for as long as they live."""

    def ordered(self, search_id: str, user: object) -> list[StubT]:
        """Stubs in the order this search prefers them; `user` lives as long as it does.

        By rendezvous hashing, but of the first two the one with fewer users comes first: chance
        alone gives the fullest of some replicas half as many again as the others (Mitzenmacher,
        "The Power of Two Choices in Randomized Load Balancing", 2001).
        """
        addresses = sorted(
            self.stubs,
            key=lambda address: hashlib.sha256(f"{address}|{search_id}".encode()).digest(),
        )
        addresses[:2] = sorted(addresses[:2], key=lambda address: len(self._users(address)))
        for address in addresses[:1]:
            self._users(address).add(user)
        return [self.stubs[address] for address in addresses]

    def _users(self, address: str) -> WeakSet[object]:
        return self.users.setdefault(address, WeakSet())


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The search that asks."""

    search_id: str
    meter: Meter
    interactive: bool
    ends_at: float | None
    """When its wall time is over, on the loop's clock."""


class Asker(Generic[StubT]):
    """One search's way to one tier."""

    def __init__(self, tier: Replicas[StubT], caller: Caller) -> None:
        self._tier = tier
        self._caller = caller
        self._replicas = tier.ordered(caller.search_id, self)
        self._jitter = random.Random(caller.search_id)

    async def ask(self, rpc: Callable[[StubT, float], Awaitable[ResultT]]) -> ResultT:
        """The answer to `rpc(stub, timeout)`.

        Raises:
            Overloaded: every replica was full for `GIVE_UP_SECONDS`. That is nobody's failure: a
                problem of the queue is then held, not counted as tried in vain.
            Unavailable: nobody answered for as long.
        """
        clock = asyncio.get_running_loop().time
        service = self._tier.service
        give_up_at = float("inf")
        attempt = 0
        while True:
            try:
                return await self._once(rpc, self._replicas[attempt % len(self._replicas)])
            except (Overloaded, Unavailable, DeadlineExceeded) as error:
                full = isinstance(error, Overloaded)
                RETRIES.labels(service, "full" if full else "unavailable").inc()
                if not attempt:
                    give_up_at = clock() + GIVE_UP_SECONDS
                attempt += 1
                self._caller.meter.retries += 1
                pause = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1))
                if isinstance(error, Overloaded):
                    pause = min(error.retry_after_seconds, LAST_BACKOFF_SECONDS)
                if clock() + pause > give_up_at:
                    if isinstance(error, Overloaded):
                        raise
                    raise Unavailable(f"{service}: {error}") from error
                if attempt % len(self._replicas) == 0 or full:
                    # Jitter, so that those refused together do not return together.
                    await asyncio.sleep(pause * (0.5 + self._jitter.random()))

    async def _once(
        self, rpc: Callable[[StubT, float], Awaitable[ResultT]], stub: StubT
    ) -> ResultT:
        async with self._tier.window.slot(interactive=self._caller.interactive) as slot:
            timeout = self._tier.call_seconds
            if self._caller.ends_at is not None:
                left = self._caller.ends_at - asyncio.get_running_loop().time()
                timeout = min(timeout, max(0.0, left) + DEADLINE_MARGIN_SECONDS)
            try:
                result = await call(rpc(stub, timeout))
            except Overloaded:
                slot.refused()
                raise
            slot.succeeded()
            return result

"""What other replicas may ask about a search that runs here: end it, or show it.

A replica whose client watches a search of ours asks again every second; as long as it
does, live events are published, a few a second. A search nobody elsewhere watches
publishes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

import nats.errors
from nats.aio.client import Client

from rstar_common.errors import RstarError
from rstar_common.streams import (
    SEARCH_CANCEL_ALL,
    SEARCH_WATCH_ALL,
    search_events_subject,
    token,
)
from rstar_searcher.live import LiveSearch

logger = logging.getLogger(__name__)

WATCH_SECONDS = 5.0
"""How long one asking counts."""

ASK_SECONDS = 1.0
"""How often a watching replica asks again."""

EVENT_SECONDS = 0.25


class Remote:
    """Knows this replica's searches by the names they have on subjects."""

    def __init__(self, bus: Client) -> None:
        self._bus = bus
        self._live: dict[str, LiveSearch] = {}
        self._until: dict[str, float] = {}
        """When the mirror of a search ends unless it is asked for again."""

    def add(self, search: LiveSearch) -> None:
        """From now on others can reach it."""
        self._live[token(search.search_id)] = search

    def remove(self, search: LiveSearch) -> None:
        """It has ended."""
        del self._live[token(search.search_id)]

    async def run(self) -> None:
        """Serve others, for ever."""
        async with asyncio.TaskGroup() as group:

            def cancel(search: LiveSearch) -> None:
                search.cancel.set()

            def watch(search: LiveSearch) -> None:
                if search.search_id not in self._until:
                    group.create_task(self._mirror(search))
                self._until[search.search_id] = asyncio.get_running_loop().time() + WATCH_SECONDS

            group.create_task(self._listen(SEARCH_CANCEL_ALL, cancel))
            group.create_task(self._listen(SEARCH_WATCH_ALL, watch))

    async def _listen(self, subject: str, act: Callable[[LiveSearch], None]) -> None:
        subscription = await self._bus.subscribe(subject)
        async for msg in subscription.messages:
            if search := self._live.get(msg.subject.split(".")[2]):
                act(search)

    async def _mirror(self, search: LiveSearch) -> None:
        subject = search_events_subject(search.search_id)
        clock = asyncio.get_running_loop().time
        watching = search.subscribe()
        try:
            async with aclosing(watching.events(min_interval_seconds=EVENT_SECONDS)) as events:
                async for event in events:
                    await self._bus.publish(subject, event.SerializeToString())
                    if clock() > self._until[search.search_id]:
                        break
        except (nats.errors.Error, RstarError) as error:
            logger.debug("live events of %s end: %s", search.search_id, error)
        finally:
            search.unsubscribe(watching)
            del self._until[search.search_id]

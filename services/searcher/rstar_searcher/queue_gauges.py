"""How full the queue is, for dashboards, alerts and scaling: asked of NATS now and then.

Every searcher asks and exports the same numbers, so that they are there as long as one
searcher is; a query over replicas takes the maximum, never the sum.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import nats.errors
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError
from prometheus_client import Gauge

from rstar_common import streams
from rstar_searcher.tenants import Tenants

logger = logging.getLogger(__name__)

MESSAGES = Gauge("rstar_stream_messages", "Messages a stream holds.", ["stream"])
WAITING = Gauge("rstar_queue_waiting", "Problems that no searcher has taken yet.")
TAKEN = Gauge("rstar_queue_taken", "Problems that a searcher has taken and not finished.")
TENANT_WAITING = Gauge("rstar_tenant_waiting", "Of the waiting problems, a tenant's.", ["tenant"])
TENANT_TAKEN = Gauge("rstar_tenant_taken", "Of the problems taken, a tenant's.", ["tenant"])
PLACES = Gauge("rstar_searcher_places", "Searches this searcher may run at once.", ["origin"])

EVERY_SECONDS = 10.0
"""Half of what a scrape usually waits; NATS answers in a millisecond."""

WATCHED = (streams.BATCHES, streams.WORK, streams.RESULTS, streams.DEAD, streams.JOURNAL)


class QueueGauges:
    """A component that keeps the gauges current."""

    def __init__(self, jetstream: JetStreamContext, tenants: Tenants) -> None:
        self._jetstream = jetstream
        self._tenants = tenants
        for tenant in tenants:  # there from the beginning, as those of the whole queue
            TENANT_WAITING.labels(tenant.label)
            TENANT_TAKEN.labels(tenant.label)

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until `stop`. A NATS that does not answer leaves the last numbers standing."""
        while not stop.is_set():
            try:
                await self._ask()
            except (nats.errors.Error, APIError, OSError) as error:
                logger.warning("queue gauges: %s", error)
            # Levels have no event to wait for.
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_SECONDS)

    async def _ask(self) -> None:
        for name in WATCHED:
            info = await self._jetstream.stream_info(name)
            MESSAGES.labels(name).set(info.state.messages)
        waiting = taken = 0
        for tenant in self._tenants:
            # Its consumer is made by the first searcher that pulls, a moment after the stream.
            with suppress(NotFoundError):
                durable = streams.searchers_of(tenant.name)
                consumer = await self._jetstream.consumer_info(streams.WORK, durable)
                TENANT_WAITING.labels(tenant.label).set(consumer.num_pending or 0)
                TENANT_TAKEN.labels(tenant.label).set(consumer.num_ack_pending or 0)
                waiting += consumer.num_pending or 0
                taken += consumer.num_ack_pending or 0
        WAITING.set(waiting)
        TAKEN.set(taken)

"""The searcher's side of the queue: for each tenant one consumer of work and one of batches.

Which tenant is next is decided in `turns`, what it may take in `quota`; here both meet the
streams and the settings.
"""

from __future__ import annotations

from dataclasses import replace

from nats.aio.client import Client
from nats.js.kv import KeyValue

from rstar_common import streams
from rstar_common.consumer import EVERYTHING, Consumer, Route
from rstar_searcher.intake import Intake
from rstar_searcher.quota import Quotas
from rstar_searcher.service_settings import SearcherSettings
from rstar_searcher.taking import Taker
from rstar_searcher.tenants import Tenant, Tenants
from rstar_searcher.turns import Turns
from rstar_searcher.work import Work


class Queue:
    """Makes what consumes it."""

    def __init__(
        self,
        bus: Client,
        attempts: KeyValue,
        settings: SearcherSettings,
        tenants: Tenants,
        quotas: Quotas,
    ) -> None:
        self._bus = bus
        self._jetstream = bus.jetstream()
        self._attempts = attempts
        self._settings = settings
        self._tenants = tenants
        self._quotas = quotas

    def taker(self, work: Work) -> Taker:
        """Takes work of all tenants in turn."""
        return Taker(
            self._bus,
            {tenant.name: self._of(tenant, work) for tenant in self._tenants},
            Turns({tenant.name: tenant.weight for tenant in self._tenants}),
            places=self._settings.max_batch_searches,
            spent=self._quotas.exhausted,
        )

    def intake(self, intake: Intake, tenant: Tenant) -> Consumer:
        """Takes one tenant's batches in, one after another."""
        route = self._route(
            stream=streams.BATCHES,
            durable=streams.intake_of(tenant.name),
            subject=streams.submit_subject(tenant.name),
            traced_as="batch",
            # Two at once could each find room for itself alone.
            max_held=1 if tenant.max_queued else 0,
        )
        return Consumer(
            self._jetstream, self._attempts, route, intake.handle, intake.bury, concurrency=1
        )

    def _of(self, tenant: Tenant, work: Work) -> tuple[Route, Consumer]:
        alone = len(self._tenants) == 1
        route = self._route(
            stream=streams.WORK,
            durable=streams.searchers_of(tenant.name),
            subject=EVERYTHING if alone else streams.work_subjects(tenant.name),
            traced_as="problem",
            max_held=tenant.max_searches,
        )
        consumer = Consumer(
            self._jetstream,
            self._attempts,
            route,
            work.handle,
            work.bury,
            concurrency=self._settings.max_batch_searches,
        )
        return route, consumer

    def _route(
        self, *, stream: str, durable: str, subject: str, traced_as: str, max_held: int
    ) -> Route:
        route = Route(
            stream=stream,
            durable=durable,
            filter_subject=subject,
            traced_as=traced_as,
            ack_wait_seconds=self._settings.nats.ack_wait_seconds,
            max_attempts=self._settings.nats.max_attempts,
        )
        return replace(route, max_held=max_held) if max_held else route

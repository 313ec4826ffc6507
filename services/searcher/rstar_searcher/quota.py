"""What tenants have used, and what they are refused for it.

Problems queued are counted by NATS, in each tenant's consumer; problems searched at once are
bounded there too. Tokens of a day (UTC) are counted in a bucket, where a limit is set: once a
search, when it ends, whoever still waits for it. A searcher that dies just then gives them away.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import nats.errors
from nats.js import JetStreamContext
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.errors import NotFoundError as NatsNotFound
from nats.js.kv import KeyValue
from prometheus_client import Counter

from rstar_common.errors import Overloaded, Unavailable
from rstar_common.streams import WORK, searchers_of
from rstar_searcher.request import SearchRequest
from rstar_searcher.tenants import Tenant, Tenants

logger = logging.getLogger(__name__)

TOKENS = Counter("rstar_tenant_tokens_total", "Tokens generated for a tenant.", ["tenant"])
REFUSED = Counter("rstar_quota_refused_total", "What was refused for a quota.", ["tenant", "limit"])

LIMITS = ("max_queued", "max_interactive", "tokens_per_day")
"""That something is refused for; `max_searches` makes it wait."""

FRESH_SECONDS = 2.0
"""For how long a count of tokens is believed; others count at the same time."""

QUEUE_RETRY_SECONDS = 60.0
BUSY_RETRY_SECONDS = 1.0


class Quotas:
    """Counts and refuses. One of each searcher; what it counts is shared."""

    def __init__(
        self, tenants: Tenants, jetstream: JetStreamContext, usage: KeyValue | None
    ) -> None:
        """`usage` may be None where no tenant has a limit on tokens."""
        self._tenants = tenants
        self._jetstream = jetstream
        self._usage = usage
        self._known: dict[str, tuple[int, float]] = {}
        """By key: tokens, and when they were read."""

        self._running = dict.fromkeys((tenant.name for tenant in tenants), 0)
        """Interactive searches of each tenant."""

        for tenant in tenants:  # a series that is not there looks like one that is watched
            TOKENS.labels(tenant.label)
            for limit in LIMITS:
                REFUSED.labels(tenant.label, limit)

    async def admit(self, tenant: Tenant, problems: int) -> None:
        """Pass if so many more problems may be queued.

        Raises:
            Overloaded: names the limit.
            Unavailable: NATS does not say how many there are.
        """
        if not tenant.max_queued:
            return
        try:
            info = await self._jetstream.consumer_info(WORK, searchers_of(tenant.name))
            queued = (info.num_pending or 0) + (info.num_ack_pending or 0)
        except NatsNotFound:
            queued = 0
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"{WORK}: {error}") from error
        if queued + problems > tenant.max_queued:
            self._refuse(
                tenant,
                "max_queued",
                f"{queued} problems are queued, {problems} more would exceed {tenant.max_queued}",
                QUEUE_RETRY_SECONDS,
            )

    async def exhausted(self, name: str) -> bool:
        """Whether a tenant's tokens of this day are used up; by the last count if NATS is away."""
        tenant = self._tenants.named(name)
        if not tenant.tokens_per_day:
            return False
        key = _key(tenant)
        tokens, read = self._known.get(key, (0, float("-inf")))
        if time.monotonic() - read > FRESH_SECONDS:
            with suppress(Unavailable):
                tokens, _ = await self._read(key)
        return tokens >= tenant.tokens_per_day

    async def spend(self, tenant: Tenant, tokens: int) -> None:
        """Count what a search has generated. What cannot be counted is given away."""
        TOKENS.labels(tenant.label).inc(tokens)
        if not tenant.tokens_per_day or not tokens:
            return
        assert self._usage is not None, "a limit on tokens opens the bucket"
        key = _key(tenant)
        while True:
            try:
                before, revision = await self._read(key)
                await self._usage.update(key, str(before + tokens).encode(), last=revision)
            except KeyWrongLastSequenceError:
                continue  # another searcher counted
            except (nats.errors.Error, APIError, Unavailable) as error:
                logger.warning("%d tokens of %s are not counted: %s", tokens, tenant.label, error)
            else:
                self._known[key] = before + tokens, time.monotonic()
            return

    async def spend_search(self, request: SearchRequest, tokens: int) -> None:
        """Count what a search has generated that ended here."""
        await self.spend(self._of(request), tokens)

    async def admit_call(self) -> Tenant:
        """The present call's tenant, if it may search.

        Raises:
            Overloaded: names the limit.
            Forbidden: there is no such tenant.
        """
        tenant = self._tenants.of_caller()
        if await self.exhausted(tenant.name):
            self._refuse(
                tenant,
                "tokens_per_day",
                f"all {tenant.tokens_per_day} of this day are used",
                _until_tomorrow(),
            )
        return tenant

    def take_place(self, request: SearchRequest) -> None:
        """Take one of a tenant's interactive places on this searcher, for a search's length.

        Raises:
            Overloaded: names the limit.
        """
        if request.batch_id:
            return
        tenant = self._of(request)
        if tenant.max_interactive and self._running[tenant.name] >= tenant.max_interactive:
            self._refuse(
                tenant,
                "max_interactive",
                f"{tenant.max_interactive} searches are running here",
                BUSY_RETRY_SECONDS,
            )
        self._running[tenant.name] += 1

    def leave_place(self, request: SearchRequest) -> None:
        """The search is over here."""
        if not request.batch_id:
            self._running[self._of(request).name] -= 1

    def _of(self, request: SearchRequest) -> Tenant:
        if request.batch_id:
            return self._tenants.of_batch(request.batch_id)
        return self._tenants.named(request.tenant)

    def _refuse(self, tenant: Tenant, limit: str, why: str, retry_after_seconds: float) -> NoReturn:
        REFUSED.labels(tenant.label, limit).inc()
        raise Overloaded(
            f"{limit} of tenant {tenant.label}: {why}", retry_after_seconds=retry_after_seconds
        )

    async def _read(self, key: str) -> tuple[int, int]:
        """Tokens and revision; 0 and 0 where nothing was counted yet."""
        assert self._usage is not None, "a limit on tokens opens the bucket"
        try:
            entry = await self._usage.get(key)
            found = int(entry.value or b"0"), entry.revision or 0
        except KeyNotFoundError:
            found = 0, 0
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"usage: {error}") from error
        self._known[key] = found[0], time.monotonic()
        return found


def _key(tenant: Tenant) -> str:
    return f"{tenant.label}.{datetime.now(UTC):%Y-%m-%d}"


def _until_tomorrow() -> float:
    now = datetime.now(UTC)
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (tomorrow - now).total_seconds()

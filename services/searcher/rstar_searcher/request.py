"""One search to be done, and the names of searches."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace

from rstar.v1 import journal_pb2
from rstar_common.streams import token
from rstar_searcher import wire
from rstar_searcher.services import Problem
from rstar_searcher.settings import SearchSettings
from rstar_searcher.settings_wire import settings_from, settings_to


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """One search to be done."""

    search_id: str
    problem: Problem
    settings: SearchSettings
    batch_id: str = ""
    idempotency_key: str = ""
    owner: str = ""
    """See `owners`. No part of the digest: one key of two owners is one search, of the first."""

    tenant: str = ""
    """Whose quota an interactive search counts against. No part of the digest either."""

    ppm_version: str = ""
    """What its tree was scored with so far; scores of two versions are never compared."""

    @property
    def origin(self) -> str:
        """For metrics and for the reserved share of interactive callers."""
        return "batch" if self.batch_id else "interactive"

    @property
    def digest(self) -> str:
        """What must be equal for two requests to be one."""
        settings = replace(
            self.settings,
            max_wall_seconds=0.0,  # deadlines differ between tries
            answer_selection=self.settings.selection,
        )
        return hashlib.sha256(repr((self.problem, settings)).encode()).hexdigest()

    def begun(self) -> journal_pb2.SearchBegun:
        """As the journal remembers it."""
        begun = journal_pb2.SearchBegun(
            problem=wire.problem_to(self.problem),
            settings=settings_to(self.settings),
            batch_id=self.batch_id,
            idempotency_key=self.idempotency_key,
            tenant=self.tenant,
        )
        begun.started_at.GetCurrentTime()
        return begun


def request_from(
    search_id: str, begun: journal_pb2.SearchBegun, defaults: SearchSettings
) -> SearchRequest:
    """What a journaled search was asked for."""
    return SearchRequest(
        search_id=search_id,
        problem=wire.problem_from(begun.problem, field="problem"),
        settings=settings_from(begun.settings, defaults),
        batch_id=begun.batch_id,
        idempotency_key=begun.idempotency_key,
        tenant=begun.tenant,
    )


def new_search_id(idempotency_key: str) -> str:
    """A function of the key, or random without one."""
    return f"s-{token('key|' + idempotency_key) if idempotency_key else secrets.token_hex(12)}"


def batch_search_id(batch_id: str, problem_id: str, settings: SearchSettings) -> str:
    """One search for each problem of a batch under these settings."""
    return f"b-{token(repr((batch_id, problem_id, settings)))}"

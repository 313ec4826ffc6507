"""One search to be done, and the names of searches."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace

from rstar_common.streams import token
from rstar_searcher.services import Problem
from rstar_searcher.settings import SearchSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """One search to be done."""

    search_id: str
    problem: Problem
    settings: SearchSettings
    batch_id: str = ""
    idempotency_key: str = ""

    @property
    def origin(self) -> str:
        """For metrics and for the reserved share of interactive callers."""
        return "batch" if self.batch_id else "interactive"

    @property
    def digest(self) -> str:
        """What must be equal for two requests to be one."""
        settings = replace(self.settings, max_wall_seconds=0.0)  # deadlines differ between tries
        return hashlib.sha256(repr((self.problem, settings)).encode()).hexdigest()


def new_search_id(idempotency_key: str) -> str:
    """A function of the key, or random without one."""
    return f"s-{token('key|' + idempotency_key) if idempotency_key else secrets.token_hex(12)}"


def batch_search_id(batch_id: str, problem_id: str, settings: SearchSettings) -> str:
    """One search for each problem of a batch under these settings."""
    return f"b-{token(repr((batch_id, problem_id, settings)))}"

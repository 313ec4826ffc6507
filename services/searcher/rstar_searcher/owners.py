"""Whose a search is, where calls carry tokens: its starter's.

Others may neither end it nor read it, `admin` apart. A batch's searches were started by no
call; they are for those of its tenant who may publish batches or train on their trees.
"""

from __future__ import annotations

from typing import Protocol

from rstar_common.errors import Forbidden
from rstar_common.guard import present_caller
from rstar_common.tokens import ADMIN, PUBLISH, TRAIN
from rstar_searcher.tenants import visible


def present_owner() -> str:
    """Whose a search will be that the present call starts; empty without tokens."""
    caller = present_caller()
    return caller.subject if caller else ""


def owners_matter() -> bool:
    """Whether the present call carries a token at all."""
    return present_caller() is not None


class Owned(Protocol):
    """A search, running or recorded."""

    @property
    def search_id(self) -> str: ...
    @property
    def batch_id(self) -> str: ...
    @property
    def owner(self) -> str: ...


def check_owner(search: Owned) -> None:
    """Pass if the present call may have to do with a search.

    Raises:
        Forbidden: it is another's.
    """
    caller = present_caller()
    if caller is None or ADMIN in caller.scopes:
        return
    if search.batch_id:
        allowed = bool(caller.scopes & {PUBLISH, TRAIN}) and visible(search.batch_id)
    else:
        allowed = search.owner == caller.subject
    if not allowed:
        raise Forbidden(f"search {search.search_id} belongs to somebody else")

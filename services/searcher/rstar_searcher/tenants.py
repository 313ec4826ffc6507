"""Tenants: who shares the queue, and how much of it each may take.

The operator names them in the searcher's settings. A tenant's batches come on its own subject
and are named `TENANT/…`; by that name they are known as its own everywhere afterwards. Whoever
names no tenant is the house: its batches are named as it likes, but not after a tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rstar_common.artifacts import INBOX
from rstar_common.errors import Forbidden, InvalidInput, NotFound
from rstar_common.guard import present_caller
from rstar_common.tokens import ADMIN

HOUSE = ""
"""Name of the tenant that everybody is who names none."""

HOUSE_LABEL = "default"
"""As settings and metrics call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant; a limit of 0 is none. See `service_settings.TenantSettings`."""

    name: str = HOUSE
    weight: float = 1.0
    max_queued: int = 0
    max_searches: int = 0
    max_interactive: int = 0
    tokens_per_day: int = 0

    @property
    def label(self) -> str:
        """For metrics and messages."""
        return self.name or HOUSE_LABEL

    @property
    def inbox(self) -> str:
        """Prefix of the objects that its batches may name."""
        return f"{INBOX}{self.name}/" if self.name else INBOX


class Tenants:
    """All of them: a fixed set, so that metrics by tenant are few."""

    def __init__(self, tenants: Iterable[Tenant] = ()) -> None:
        """Those named, and the house if it is not among them."""
        self._by_name = {HOUSE: Tenant()} | {tenant.name: tenant for tenant in tenants}

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, name: str) -> Tenant:
        """One of them; the house for one that was taken out of the settings."""
        return self._by_name.get(name, self._by_name[HOUSE])

    def of_batch(self, batch_id: str) -> Tenant:
        """Whose a batch is, by its name."""
        return self._by_name.get(_prefix(batch_id), self._by_name[HOUSE])

    def of_caller(self) -> Tenant:
        """Whose call is being served.

        Raises:
            Forbidden: its token names a tenant that is none here.
        """
        caller = present_caller()
        name = caller.tenant if caller else HOUSE
        if name not in self._by_name:
            raise Forbidden(f"there is no tenant {name!r} here")
        return self._by_name[name]

    def check_submission(self, tenant: Tenant, batch_id: str, problems_key: str) -> None:
        """Pass if `tenant` may submit a batch of this name, its problems under this key.

        Raises:
            InvalidInput: the name or the key is another's.
        """
        if self.of_batch(batch_id).name != tenant.name:
            wanted = f"begin with {tenant.name + '/'!r}" if tenant.name else "not name a tenant"
            raise InvalidInput(f"must {wanted}", field="batch_id")
        if not problems_key:
            return
        if not problems_key.startswith(tenant.inbox):
            raise InvalidInput(f"must lie under {tenant.inbox}", field="problems_key")
        if self.of_batch(problems_key.removeprefix(INBOX)).name != tenant.name:
            raise InvalidInput("lies in a tenant's part of the inbox", field="problems_key")


def check_batch(batch_id: str) -> None:
    """Pass if the present call may have to do with a batch, or with all of them (empty).

    Raises:
        NotFound: it is no batch of the caller's tenant; whether it is another's is not told.
        InvalidInput: a tenant's caller must name a batch.
    """
    caller = present_caller()
    if caller is None or not caller.tenant or ADMIN in caller.scopes:
        return
    if not batch_id:
        raise InvalidInput("must name a batch of your tenant", field="batch_id")
    if _prefix(batch_id) != caller.tenant:
        raise NotFound(f"no batch {batch_id!r}")


def visible(batch_id: str) -> bool:
    """Whether a list of batches shows this one to the present caller."""
    try:
        check_batch(batch_id)
    except NotFound:
        return False
    return True


def _prefix(name: str) -> str:
    head, slash, _ = name.partition("/")
    return head if slash else HOUSE

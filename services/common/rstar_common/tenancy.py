"""What a tenant may be called; apart from `streams`, so that tokens need no NATS client."""

from __future__ import annotations

import re

from rstar_common.errors import InvalidInput

_TENANT = re.compile(r"[a-z0-9](-?[a-z0-9]){0,31}")


def check_tenant(name: str, *, field: str) -> str:
    """Return `name` if it is a proper name of a tenant.

    Raises:
        InvalidInput: naming `field`.
    """
    if not _TENANT.fullmatch(name):
        raise InvalidInput("must be 1 to 32 of a-z 0-9, with single - between them", field=field)
    return name

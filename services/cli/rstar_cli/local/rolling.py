"""Replace services one after another, from outside the supervisor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rstar_cli.local.replacing import READY_SECONDS, order
from rstar_cli.local.stack import reports, serving
from rstar_cli.local.state import StackState
from rstar_common.errors import InvalidInput, Unavailable

ORDER = ("sandbox", "policy", "ppm", "trainer", "searcher")
"""Those that others call first; the trainer after those that read the manifests it writes."""

_POLL_SECONDS = 0.1
_SLACK_SECONDS = 90.0
"""For the old process to drain, after the new one serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """One service, restarted."""

    service: str
    old_pid: int
    new_pid: int
    seconds: float
    """Until the new process served and the old one had left."""


def chosen(state: StackState, names: Sequence[str]) -> list[str]:
    """The services meant, in the order of a rolling restart.

    Raises:
        InvalidInput: one is none of this stack's.
    """
    known = state.services
    found = []
    for name in names:
        matching = [one for one in known if name in (one, _kind(one))]
        if not matching:
            raise InvalidInput(f"no {name!r} here; there are {', '.join(known)}", field="service")
        found += matching
    wanted = [one for one in known if one in found] if names else known
    return sorted(wanted, key=lambda name: ORDER.index(_kind(name)))


def _kind(name: str) -> str:
    """`searcher` of `searcher2`."""
    return name.rstrip("0123456789")


async def replace_one(home: Path, state: StackState, name: str) -> Replacement:
    """Have a new process take over; returns when the old one has left.

    Raises:
        Unavailable: the new one does not serve; the old one goes on, if it could be kept.
    """
    started = time.monotonic()
    before = reports(home).get(name, {})
    if before.get("state") != "running":
        raise Unavailable(f"{name} does not run; see: rstar status")
    order(home, [name])
    while True:
        now = reports(home).get(name, {})
        if now.get("refused", 0) > before.get("refused", 0):
            raise Unavailable(f"the new {name} does not serve; see {home}/logs/{name}.log")
        took_over = now.get("replaced", 0) > before.get("replaced", 0)
        if took_over and await serving(name, state.address(name)):
            break
        if time.monotonic() - started > READY_SECONDS + _SLACK_SECONDS:
            raise Unavailable(f"{name} was not replaced; see {home}/logs/supervisor.log")
        # The supervisor writes a file when something changes; nothing tells us that it did.
        await asyncio.sleep(_POLL_SECONDS)
    return Replacement(
        service=name,
        old_pid=before["pid"],
        new_pid=now["pid"],
        seconds=round(time.monotonic() - started, 2),
    )

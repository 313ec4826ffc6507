"""Look at everything, of whichever system the command would talk to."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rstar_cli.connection import Endpoints
from rstar_cli.doctor import engine, gvisor, host, ports, versions
from rstar_cli.doctor.finding import Finding
from rstar_cli.local.checkout import default_options
from rstar_cli.local.lock import holder
from rstar_cli.local.stack import views
from rstar_cli.local.state import load
from rstar_common.config import ObjectStoreSettings
from rstar_common.errors import Unavailable


async def examine(home: Path, where: Endpoints, *, free_bytes: int) -> list[Finding]:
    """Every finding, in the order of the report.

    Raises:
        InvalidInput: the state file is damaged.
    """
    state = await asyncio.to_thread(load, home)
    if where.is_remote:
        reached = await ports.check_remote(where)
    elif state and holder(home):
        reached = ports.check_running(await views(home, state, {}))
    else:
        reached = ports.check_stopped(state)
    found = [
        *await asyncio.to_thread(versions.check),
        *reached,
        *host.permissions(home),
        *await host.clock(home, _store(where)),
        *host.disk(home, free_bytes=free_bytes),
    ]
    if not where.is_remote:  # the services are elsewhere, and so is what they need
        found += await gvisor.check()
        options = state.options if state else default_options()
        found += await asyncio.to_thread(engine.check, options)
    return found


def _store(where: Endpoints) -> ObjectStoreSettings | None:
    try:
        return where.object_store
    except Unavailable:
        return None

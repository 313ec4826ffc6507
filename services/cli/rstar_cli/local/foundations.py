"""NATS and the object store of a home whose stack is down, without the services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from rstar_cli.local.lock import Purpose, copying, take
from rstar_cli.local.nats import nats_ready
from rstar_cli.local.plan import plan
from rstar_cli.local.process import start, stop
from rstar_cli.local.procfs import end_marked
from rstar_cli.local.s3 import s3_ready, sync_every_write
from rstar_cli.local.state import StackState
from rstar_common.errors import Conflict


@asynccontextmanager
async def foundations(home: Path, state: StackState, purpose: Purpose) -> AsyncGenerator[None]:
    """Both, for the length of the block; nobody else can start the stack meanwhile.

    Raises:
        Conflict: the stack runs, or somebody else does this.
        Unavailable: one of them does not come up.
    """
    lock = take(home, purpose)
    if lock is None:
        raise Conflict(copying(home) or "the stack runs; first: rstar down")
    with lock:
        await end_marked(state.stack_id)
        units = [unit for unit in plan(state, home) if unit.stage == 0]
        processes = [(await start(unit.command), unit.grace_seconds) for unit in units]
        try:
            await asyncio.gather(nats_ready(state.nats), s3_ready(state.object_store))
            await sync_every_write(state.s3_ports)
            yield
        finally:
            for process, grace_seconds in reversed(processes):
                await stop(process, grace_seconds=grace_seconds)

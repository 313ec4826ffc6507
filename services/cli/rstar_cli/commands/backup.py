"""`rstar backup` and `rstar restore`: everything the system keeps, in one folder."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from nats.aio.client import Client
    from obstore.store import S3Store

    from rstar_cli.backup.copying import Copied, Tell

Folder = Annotated[Path, typer.Argument(metavar="DIR", file_okay=False, help="The backup.")]


def backup(directory: Folder, home: Home = None, json: Json = False) -> None:
    """Copy all state into a folder: queue, results, runs, pointers, trees, checkpoints.

    The stack may be up and working, or down. Interrupted, it goes on where it was when run
    again; run again later, it copies only objects that are new. Holds no credentials; holds
    every problem, answer and model.

    Example: rstar backup /backups/rstar-monday --json
    """
    from rstar_cli.backup.copying import back_up
    from rstar_cli.output import run

    async def work(tell: Tell) -> Copied:
        async with _reached(home, directory, fresh=False) as (client, store):
            return await back_up(client, store, directory, tell)

    run(_shown(work, "backed up", json))


def restore(directory: Folder, home: Home = None, json: Json = False) -> None:
    """Bring a backup back into a system that keeps nothing yet.

    Every file is checked against its hash before anything is written. The local stack must be
    down and new: name another --home, or move the old one away. Elsewhere (RSTAR_CLI_NATS__*,
    RSTAR_CLI_OBJECT_STORE__*) scale the services to zero first.

    Example: rstar restore /backups/rstar-monday --home ~/rstar-again
    """
    from rstar_cli.backup.copying import restore as bring_back
    from rstar_cli.output import run

    async def work(tell: Tell) -> Copied:
        async with _reached(home, directory, fresh=True) as (client, store):
            return await bring_back(client, store, directory, tell)

    run(_shown(work, "restored", json))


async def _shown(work: Callable[[Tell], Awaitable[Copied]], said: str, json: bool) -> None:
    from dataclasses import asdict

    from rstar_cli.output import console, emit_json
    from rstar_cli.views.backup import progress

    with progress(quiet=json) as tell:
        copied = await work(tell)
    if json:
        emit_json(asdict(copied))
        return
    console().print(
        f"{said}: {copied.streams} streams with {copied.messages} messages,"
        f" {copied.objects} objects ({copied.moved_objects} copied),"
        f" {copied.bytes / 2**20:.1f} MiB in {copied.seconds:.1f} s"
    )


@asynccontextmanager
async def _reached(
    home: Path | None, directory: Path, *, fresh: bool
) -> AsyncGenerator[tuple[Client, S3Store]]:
    """The queue and the store of the system meant; of a local stack that is down, for a while."""
    from contextlib import AsyncExitStack

    from rstar_cli.backup.manifest import read
    from rstar_cli.connection import endpoints, nats_client
    from rstar_cli.local.foundations import foundations
    from rstar_cli.local.lock import Purpose, holder
    from rstar_cli.local.state import StackOptions, create, load, resolved_home
    from rstar_common.artifacts import ObjectStore
    from rstar_common.errors import Conflict, NotFound

    where = endpoints(home)
    if fresh:
        read(directory)  # before anything is started or made
    async with AsyncExitStack() as stack:
        if where.names_state:
            bus, objects = where.nats, where.object_store
        else:
            path = resolved_home(home)
            state = load(path)
            if state is None and not fresh:
                raise NotFound(f"there is no stack in {path}")
            if holder(path) is None:
                state = state or create(path, StackOptions())
                purpose = Purpose.RESTORE if fresh else Purpose.BACKUP
                await stack.enter_async_context(foundations(path, state, purpose))
            elif fresh:
                raise Conflict("the stack runs; restore into another --home, or: rstar down")
            assert state is not None
            bus, objects = state.nats, state.object_store
        store = ObjectStore(objects)
        await store.ready()
        yield await stack.enter_async_context(nats_client(bus)), store.bucket

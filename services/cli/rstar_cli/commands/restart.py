"""`rstar restart`: new processes take over from the running ones, one service after another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rstar_cli.commands.options import Home, Json


def restart(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SERVICE]...", help="E.g. policy, searcher, searcher2; none: all."),
    ] = None,
    load: Annotated[
        int,
        typer.Option(min=0, max=64, help="Ask problems from so many clients meanwhile, and count."),
    ] = 0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Restart services while the stack works, after an upgrade or a change of a TOML file.

    Environment variables stay those of the `rstar up` that started the stack: for others, end it
    with `rstar down` and start it anew.

    A new process starts beside the old one and serves before that one drains; the trainer alone
    is stopped first. Ports and options stay those of `rstar up`. With --load, exit status 1 if a
    client's call failed.

    Example: rstar restart policy ppm
    """
    from rstar_cli.local.state import resolved_home
    from rstar_cli.output import run

    run(_restart(resolved_home(home), services or [], load, json))


async def _restart(home: Path, names: list[str], clients: int, json: bool) -> None:
    from contextlib import AsyncExitStack
    from dataclasses import asdict

    from rstar_cli.local.load import load
    from rstar_cli.local.lock import holder
    from rstar_cli.local.rolling import chosen, replace_one
    from rstar_cli.local.state import load as load_state
    from rstar_cli.machine import machine
    from rstar_cli.output import console, emit_json
    from rstar_common.errors import Unavailable

    state = load_state(home)
    if state is None or holder(home) is None:
        raise Unavailable("the stack is not up; start it with: rstar up")
    done = []
    seen = None
    async with AsyncExitStack() as stack:
        if clients:
            searchers = [name for name in state.services if name.startswith("searcher")]
            addresses = [state.address(name) for name in searchers]
            seen = await stack.enter_async_context(load(addresses, clients=clients))
        for name in chosen(state, names):
            one = await replace_one(home, state, name)
            done.append(one)
            if not json:
                pids = f"process {one.old_pid} → {one.new_pid}"
                console().print(f"{name:10} {pids}, {one.seconds:.1f} s")
    failed = sum(seen.usual.failed.values()) if seen else 0
    if json:
        report = {"restarted": [asdict(one) for one in done]}
        emit_json(
            report if seen is None else {**report, "load": seen.to_json(), "machine": machine()}
        )
    elif seen:
        console().print(f"{seen.usual.calls} calls, {failed} failed")
    if failed:
        raise typer.Exit(1)

"""A stack for the length of a command: the one that runs, or one started and stopped again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from rstar_cli.local.lock import holder
from rstar_cli.local.stack import launch, stop_stack, wait_serving
from rstar_cli.local.state import StackOptions
from rstar_cli.output import console
from rstar_cli.views.stack import live_units


@asynccontextmanager
async def borrowed_stack(home: Path, options: StackOptions, *, quiet: bool) -> AsyncGenerator[bool]:
    """Yield whether we started it. What we started ends with the block, on Ctrl-C too."""
    launched = None if holder(home) else launch(home, options)
    say = console(stderr=True)
    try:
        if launched:
            with live_units(quiet=quiet) as show:
                await wait_serving(home, launched, on_change=show)
        yield launched is not None
    finally:
        if launched:
            if not quiet:
                say.print("stopping the stack …", style="dim")
            await stop_stack(home, launched.supervisor)

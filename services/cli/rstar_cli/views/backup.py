"""How far a backup is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rstar_cli.backup.copying import Tell


@contextmanager
def progress(*, quiet: bool) -> Iterator[Tell]:
    """A bar on stderr for the length of the block; nothing where nobody watches."""
    from rich.progress import Progress

    from rstar_cli.output import console

    out = console(stderr=True)
    with Progress(console=out, transient=True, disable=quiet or not out.is_terminal) as bars:
        tasks = {what: bars.add_task(what, total=None) for what in ("streams", "objects")}

        def tell(what: str, done: int, total: int) -> None:
            bars.update(tasks[what], completed=done, total=total)

        yield tell

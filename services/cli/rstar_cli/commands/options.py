"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path | None,
    typer.Option(
        envvar="RSTAR_HOME",
        help="State directory of the local stack.",
        show_default="~/.local/state/rstar",
        file_okay=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]

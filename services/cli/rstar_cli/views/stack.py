"""The stack as a table: live while it starts, and as surveyed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.table import Table
from rich.text import Text

from rstar_cli.local.stack import UnitView
from rstar_cli.local.survey import Survey
from rstar_cli.output import console, one_line

_COLOURS = {"serving": "green", "starting": "yellow", "waiting": "dim", "restarting": "red"}


@contextmanager
def live_units(*, quiet: bool) -> Iterator[Callable[[list[UnitView]], None]]:
    """A table that follows the units as they come up; `quiet` shows nothing."""
    if quiet:
        yield lambda units: None
        return
    screen = console()
    with Live(console=screen, refresh_per_second=8) as live:
        yield lambda units: live.update(_units_table(units))
    if not screen.is_terminal:  # where nothing is redrawn, rich leaves the last line open
        screen.line()


def _units_table(units: list[UnitView]) -> Table:
    table = Table("service", "state", "address", "seconds", box=None, pad_edge=False)
    table.columns[3].justify = "right"
    for unit in units:
        seconds = f"{unit.seconds:.1f}" if unit.pid else ""
        table.add_row(unit.name, _state(unit), unit.address, seconds)
    return table


def _state(unit: UnitView) -> Text:
    again = f" ({unit.restarts} restarts)" if unit.restarts else ""
    return Text(unit.state + again, style=_COLOURS.get(unit.state, "red"))


def survey_table(found: Survey) -> Table:
    """`rstar status`."""
    table = Table("service", "state", "address", "MiB", "what", box=None, pad_edge=False)
    table.columns[3].justify = "right"
    for unit in found.units:
        memory = f"{found.memory.get(unit.name, 0) / 2**20:.0f}"
        info = found.info.get(unit.name, {})
        what = ", ".join(f"{key} {value}" for key, value in info.items())
        if unit.name == "nats":
            what = ", ".join(f"{count} {name}" for name, count in found.queue.items())
        table.add_row(unit.name, _state(unit), unit.address, memory, Text(one_line(what, 160)))
    total = sum(found.memory.values()) / 2**20
    supervisor = found.memory.get("supervisor", 0) / 2**20
    table.add_row("supervisor", "", "", f"{supervisor:.0f}", "")
    table.add_row("in all", "", "", f"{total:.0f}", "", style="bold")
    return table

"""What `rstar doctor` found, as people see it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from rstar_cli.doctor.finding import Finding
from rstar_cli.output import one_line


def findings_table(found: Sequence[Finding]) -> Table:
    """One line a finding, and below a fault what to do."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in found:
        word = Text("fault", style="red") if finding.fault else Text("ok", style="green")
        table.add_row(finding.check, word, Text(one_line(finding.message, 400)))
        if finding.remedy:
            table.add_row("", "", Text(f"→ {one_line(finding.remedy, 400)}", style="yellow"))
    return table

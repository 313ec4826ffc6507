"""What chaos found, as a table."""

from __future__ import annotations

from rich.table import Table

from rstar_cli.chaos.campaign import Campaign


def recovery_table(campaign: Campaign) -> Table:
    """Median and worst recovery of each fault."""
    table = Table("fault", "times", "next result", "worst", "whole wave", "worst", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, found in sorted(campaign.recoveries.items()):
        first = _column([r.first for r in found if r.first is not None])
        last = _column([r.last for r in found if r.last is not None])
        table.add_row(name, str(len(found)), *first, *last)
    for name, why in campaign.skipped.items():
        table.add_row(name, "0", f"skipped: {why}", "", "", "")
    return table


def _column(seconds: list[float]) -> tuple[str, str]:
    if not seconds:
        return "", ""
    ordered = sorted(seconds)
    middle = ordered[len(ordered) // 2]
    return f"{middle:.1f} s", f"{ordered[-1]:.1f} s"

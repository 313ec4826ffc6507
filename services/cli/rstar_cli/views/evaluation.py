"""An evaluation as people see it in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from rstar_cli.evaluation.report import pass_at, trees_gone
from rstar_cli.evaluation.versions import named, remarks


def evaluation_table(summary: Mapping[str, Any]) -> Table:
    """One line an arm and way to choose the answer; below, whose answers they are."""
    table = Table(title=None, header_style="bold", box=None, pad_edge=False)
    if answered := named(summary["versions"]):
        table.caption, table.caption_justify = Text(f"answered by {answered}"), "left"
    for name in ("search", "answer"):
        table.add_column(name)
    for name in ("solved", "accuracy", "95 %", "pass@1", "pass@N", "tokens", "seconds"):
        table.add_column(name, justify="right")
    for arm in summary["results"]:
        cost = arm["cost_a_problem"]
        for rule, share in arm["accuracy"].items():
            table.add_row(
                Text(arm["arm"]),
                rule.replace("_", " "),
                f"{share['right']} of {arm['problems']}",
                f"{100 * share['value']:.1f}",
                f"{100 * share['low']:.1f} to {100 * share['high']:.1f}",
                pass_at(arm, 1),
                pass_at(arm, arm["trajectories"]),
                f"{cost.get('generated_tokens', 0):,.0f}",
                f"{cost.get('wall_seconds', 0):.1f}",
            )
    return table


def evaluation_notes(summary: Mapping[str, Any]) -> list[str]:
    """What must be known to read the figures."""
    return [
        *remarks(summary["versions"], summary["served"]),
        *(trees_gone(arm) for arm in summary["results"] if arm["trees_gone"]),
    ]


def equal_tokens_table(compared: Mapping[str, Any]) -> Table:
    """Every strategy beside one tree search, at the tokens that it generated."""
    table = Table(title=f"at equal tokens: {compared['of']}", header_style="bold", box=None)
    table.add_column("strategy")
    for name in ("size", "accuracy", "95 %", "against the tree", "95 %", "tokens"):
        table.add_column(name, justify="right")
    for row in compared["rows"]:
        accuracy, gap = row["accuracy"], row["against_tree"]
        table.add_row(
            Text(row["strategy"]),
            str(row["size"]),
            f"{100 * accuracy['value']:.1f}",
            f"{100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}",
            f"{100 * gap['value']:+.1f}",
            f"{100 * gap['low']:+.1f} to {100 * gap['high']:+.1f}",
            f"{row['tokens_a_problem']:,.0f}",
        )
    return table

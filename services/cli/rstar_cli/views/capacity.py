"""A capacity plan as a table."""

from __future__ import annotations

from rich.table import Table

from rstar_cli.capacity.model import Plan, Prices


def plan_table(found: Plan, prices: Prices) -> Table:
    """One line a tier."""
    table = Table("tier", "replicas", "busy", "GPUs", "cores", "cost an hour", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for tier in found.tiers:
        cost = f"{tier.cost(prices):.2f}"
        busy = f"{100 * tier.busy:.0f} %"
        table.add_row(tier.name, str(tier.replicas), busy, str(tier.gpus), str(tier.cores), cost)
    gpus, cores = sum(t.gpus for t in found.tiers), sum(t.cores for t in found.tiers)
    table.add_row("in all", "", "", str(gpus), str(cores), f"{found.cost_per_hour(prices):.2f}")
    table.caption = (
        f"{found.searches_at_once} searches at once, "
        f"{found.store_gigabytes_per_day:.1f} GB of trees a day, "
        f"{found.queue_messages_per_second:.0f} messages a second on the queue"
    )
    return table

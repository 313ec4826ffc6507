"""`rstar capacity`: how many of what, and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

from rstar_cli.commands.options import Json


def capacity(
    problems_per_hour: Annotated[float, typer.Option(min=1, help="The target.")] = 1000.0,
    profile: Annotated[str, typer.Option(help="Model and machine: see --list.")] = "mini-cpu",
    figure: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=NUMBER", help="A figure of your own; repeatable."),
    ] = None,
    utilisation: Annotated[
        float, typer.Option(min=0.05, max=1, help="Share of its rate that a tier is used to.")
    ] = 0.7,
    gpu_hour: Annotated[float, typer.Option(min=0, help="Price of a GPU hour.")] = 2.5,
    core_hour: Annotated[float, typer.Option(min=0, help="Price of a core hour.")] = 0.04,
    show: Annotated[bool, typer.Option("--list", help="Show the profiles and end.")] = False,
    json: Json = False,
) -> None:
    """Say how many replicas of each tier a target needs, and what an hour of them costs.

    The model is in docs/capacity.md. Figures that were assumed and not measured are named.

    Example: rstar capacity --problems-per-hour 20000 --profile qwen-7b
    """
    from rstar_cli.capacity.model import Prices, changed, plan, profiles
    from rstar_cli.output import console, emit_json
    from rstar_cli.views.capacity import plan_table
    from rstar_common.errors import InvalidInput

    known = profiles()
    screen = console()
    if show:
        for name, one in known.items():
            screen.print(f"{name}: {one.summary}\n  measured: {one.measured}")
            screen.print(f"  assumed: {one.assumed}")
        return
    if profile not in known:
        raise InvalidInput(f"there are {', '.join(known)}", field="--profile")
    used = changed(known[profile], figure or ())
    found = plan(used, problems_per_hour, utilisation=utilisation)
    prices = Prices(gpu=gpu_hour, core=core_hour)
    hourly = found.cost_per_hour(prices)
    if not json:
        screen.print(plan_table(found, prices))
        screen.print(f"{hourly / found.problems_per_hour:.5f} a problem; assumed: {used.assumed}")
        return
    emit_json(
        {
            "profile": profile,
            "problems_per_hour": found.problems_per_hour,
            "searches_at_once": found.searches_at_once,
            "tiers": {
                tier.name: {
                    "replicas": tier.replicas,
                    "busy": round(tier.busy, 3),
                    "gpus": tier.gpus,
                    "cores": tier.cores,
                }
                for tier in found.tiers
            },
            "cost_per_hour": round(hourly, 3),
            "cost_per_problem": hourly / found.problems_per_hour,
            "store_gigabytes_per_day": round(found.store_gigabytes_per_day, 2),
            "queue_messages_per_second": round(found.queue_messages_per_second, 2),
            "assumed": used.assumed,
        }
    )

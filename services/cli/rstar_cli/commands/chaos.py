"""`rstar chaos`: break a system of its own for a while, and account for every problem."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rstar_cli.chaos.system import MakeTiers


class TierKind(StrEnum):
    """What stands behind the searchers."""

    SIMULATED = "simulated"
    LOCAL = "local"


def chaos(
    minutes: Annotated[float, typer.Option(min=0, help="How long; 0: every fault once.")] = 0.0,
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this fault; may be repeated.")
    ] = None,
    problems: Annotated[int, typer.Option(min=6, help="In each wave.")] = 12,
    seed: Annotated[
        int, typer.Option(help="The same seed: the same faults in the same order.")
    ] = 1,
    tiers: Annotated[
        TierKind,
        typer.Option(help="Behind the searchers: simulated services, or this machine's own."),
    ] = TierKind.SIMULATED,
    release: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKOUT", exists=True, file_okay=False, help="Mix in this one's services."
        ),
    ] = None,
    logs: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="Keep the logs and data there."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
) -> None:
    """Break NATS, the store, the services and the network between them; nothing may be lost.

    Everything runs in processes of its own on free ports; the host's clock, network and disks
    are left alone. In the middle of every wave of problems one fault happens. Afterwards every
    problem must have exactly one result, and no work, process or sandbox may be left behind.
    Exit status 1 if that is not so. One JSON line; recovery is counted from the fault's end.

    Example: rstar chaos --minutes 30
    """
    from rstar_cli.chaos.campaign import run_campaign
    from rstar_cli.chaos.waves import Size
    from rstar_cli.machine import machine
    from rstar_cli.output import console, emit_json, run
    from rstar_cli.views.chaos import recovery_table

    screen = console(stderr=True)
    if logs:
        logs.mkdir(parents=True, exist_ok=True)
    campaign = run(
        run_campaign(
            _tiers(tiers),
            seconds=60 * minutes,
            seed=seed,
            size=Size(problems=problems),
            only=fault or (),
            tell=(lambda line: None)
            if quiet
            else (lambda line: screen.print(line, soft_wrap=True)),
            keep=logs.absolute() if logs else None,
            release=release.absolute() if release else None,
        )
    )
    if not quiet:
        screen.print(recovery_table(campaign))
    emit_json(
        {"benchmark": "chaos", "machine": machine(), "tiers": tiers.value, **campaign.report()}
    )
    if not campaign.passed:
        raise typer.Exit(1)


def _tiers(kind: TierKind) -> MakeTiers:
    from rstar_cli.chaos.tiers import local_tiers, simulated_tiers
    from rstar_cli.local.checkout import required

    if kind is TierKind.SIMULATED:
        return lambda directory: simulated_tiers(directory, apart=True)
    model = str(required("models/ppm", field="--tiers"))
    return lambda directory: local_tiers(directory, ppm_model=model)

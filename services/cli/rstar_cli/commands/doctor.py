"""`rstar doctor`: what is wrong here, and what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from rstar_cli.commands.options import Home, Json


def doctor(
    free_gib: Annotated[
        float, typer.Option("--free-gib", min=0, help="Room wanted for the state.")
    ] = 5.0,
    json: Json = False,
    home: Home = None,
) -> None:
    """Look for faults: versions, ports, permissions, clock, disk, gVisor, engine.

    Changes nothing. Says what to do about each fault; exit status 1 if there is one. With
    RSTAR_CLI_* it examines this machine as a client of that system.

    Example: rstar doctor --json
    """
    from rstar_cli.connection import endpoints
    from rstar_cli.doctor.examination import examine
    from rstar_cli.local.state import resolved_home
    from rstar_cli.output import console, emit_json, run
    from rstar_cli.views.findings import findings_table

    where = endpoints(home)
    found = run(examine(resolved_home(home), where, free_bytes=int(free_gib * 2**30)))
    faults = sum(finding.fault for finding in found)
    if json:
        emit_json({"healthy": not faults, "findings": [finding.to_json() for finding in found]})
    else:
        out = console()
        out.print(findings_table(found))
        out.print(f"{faults} faults" if faults != 1 else "1 fault")
    if faults:
        raise typer.Exit(1)

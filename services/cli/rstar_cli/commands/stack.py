"""`rstar up`, `down`, `status`: the whole system on one machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from rstar_cli.local.state import StackOptions


class PolicyEngine(StrEnum):
    """What stands behind the policy service."""

    SGLANG = "sglang"
    BOOTSTRAP = "bootstrap"


def up(
    home: Home = None,
    policy: Annotated[
        PolicyEngine, typer.Option(help="A model on SGLang, or the bootstrap proposer.")
    ] = PolicyEngine.SGLANG,
    policy_model: Annotated[
        Path | None, typer.Option(help="Serve this checkpoint, not the promoted one.")
    ] = None,
    ppm: Annotated[bool, typer.Option(help="Run a process preference model.")] = True,
    ppm_model: Annotated[
        Path | None, typer.Option(help="Serve this checkpoint, not the promoted one.")
    ] = None,
    seed_models: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Checkpoints to publish, and promote over none or older ones; '' for none.",
            show_default="the bundled ones",
        ),
    ] = None,
    searchers: Annotated[int, typer.Option(min=1, max=8, help="Searcher processes.")] = 1,
    sandbox_slots: Annotated[int, typer.Option(min=0, help="Sandboxes; 0: one a core.")] = 0,
    config_dir: Annotated[
        Path | None, typer.Option(help="TOML settings, one file a service.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Longest to wait for its health.")
    ] = 300.0,
    json: Json = False,
) -> None:
    """Start the whole stack, wait until every service is healthy, print the addresses.

    It goes on in the background; `rstar down` ends it. Run again, it does nothing but wait.

    Example: rstar up --searchers 2
    """
    from rstar_cli.local.checkout import resource
    from rstar_cli.local.state import NO_SEEDS, StackOptions, resolved_home
    from rstar_cli.output import run

    config = config_dir or resource("infra/config")
    options = StackOptions(
        policy=policy.value,
        policy_model=_absolute(policy_model),
        ppm=ppm,
        ppm_model=_absolute(ppm_model),
        seed_models=NO_SEEDS if seed_models == "" else _absolute(seed_models),
        searchers=searchers,
        sandbox_slots=sandbox_slots,
        config_dir=_absolute(config),
    )
    run(bring_up(resolved_home(home), options, wait, json))


def down(home: Home = None, json: Json = False) -> None:
    """Stop the stack, letting searches drain; its data stays.

    Example: rstar down
    """
    from rstar_cli.local.stack import stop_stack
    from rstar_cli.local.state import resolved_home
    from rstar_cli.output import console, emit_json, run

    ran = run(stop_stack(resolved_home(home)))
    if json:
        emit_json({"stopped": ran})
    else:
        console().print("stopped" if ran else "nothing was running")


def status(home: Home = None, json: Json = False) -> None:
    """Show every service: health, versions, restarts, memory, and the queue's depth.

    Exit status 3 when the stack is not up or a service is not healthy.

    Example: rstar status --json
    """
    from rstar_cli.local.state import resolved_home
    from rstar_cli.output import run

    run(_status(resolved_home(home), json))


def _absolute(path: Path | str | None) -> str:
    return str(Path(path).resolve()) if path else ""


async def bring_up(home: Path, options: StackOptions, seconds: float, json: bool) -> None:
    """Start a stack, or find the one that runs, and wait until it is healthy.

    Raises:
        Conflict: one runs with other options, or its state is being backed up or restored.
        Unavailable: a service does not come up.
    """
    from rstar_cli.local.stack import launch, stop_stack, wait_serving
    from rstar_cli.output import console, emit_json
    from rstar_cli.views.stack import live_units

    launched = launch(home, options)
    try:
        with live_units(quiet=json) as show:
            units = await wait_serving(home, launched, seconds=seconds, on_change=show)
    except BaseException:
        if launched.supervisor:  # a half-started stack helps nobody, after Ctrl-C neither
            await stop_stack(home, launched.supervisor)
        raise
    if json:
        emit_json({unit.name: unit.address for unit in units})
    else:
        console().print(f"up; state and logs in {home}; stop it with: rstar down")


async def _status(home: Path, json: bool) -> None:
    from rstar_cli.local.survey import survey
    from rstar_cli.output import console, emit_json
    from rstar_cli.views.stack import survey_table

    found = await survey(home)
    if json:
        emit_json(found.to_json())
    else:
        console().print(survey_table(found))
    if not found.healthy:
        raise typer.Exit(3)


def env(
    home: Home = None,
    json: Json = False,
    operator: Annotated[
        bool, typer.Option("--operator", help="Credentials that may do everything.")
    ] = False,
) -> None:
    """Print how other programs reach the stack, as shell exports. Holds passwords.

    They may publish batches and put large ones into the store; results are read over gRPC.

    Example: eval "$(rstar env)"
    """
    import shlex
    import sys

    from rstar_cli.connection import endpoints
    from rstar_cli.local.credentials import nats_of, store_of
    from rstar_cli.output import emit_json

    where = endpoints(home)
    nats, store = where.nats, where.object_store
    if not (operator or where.is_remote):
        nats, store = nats_of("publisher", nats) or nats, store_of("publisher", store) or store
    credentials = f"{nats.user}:{nats.password.get_secret_value()}@" if nats.user else ""
    variables = {
        "RSTAR_ADDRESS": where.searcher,
        "NATS_URL": nats.servers[0].replace("://", f"://{credentials}"),
        "AWS_ENDPOINT_URL": store.endpoint,
        "AWS_REGION": store.region,
        "AWS_ACCESS_KEY_ID": store.access_key.get_secret_value(),
        "AWS_SECRET_ACCESS_KEY": store.secret_key.get_secret_value(),
        "RSTAR_BUCKET": store.bucket,
    }
    if json:
        emit_json(variables)
        return
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")

"""The `rstar` command: what it can do, and how it ends.

    exit status  0    done
                 1    it failed, or (for grading commands) something is wrong
                 2    the request can never succeed as written
                 3    the stack, or a service of it, is not there
                 4    no such search, batch, job or checkpoint
                 130  interrupted

Errors are one line on stderr. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import logging
import sys
from importlib import metadata
from typing import Annotated

import typer

from rstar_cli.commands import (
    backup,
    batches,
    bench,
    capacity,
    chaos,
    checkpoints,
    dead_letters,
    demo,
    doctor,
    evaluate,
    evolve,
    jobs,
    keys,
    report,
    restart,
    solve,
    stack,
    submit,
    train,
    tree,
)
from rstar_common.errors import InvalidInput, NotFound, RstarError, Unavailable

EXIT_BY_ERROR: dict[type[RstarError], int] = {InvalidInput: 2, Unavailable: 3, NotFound: 4}
EXIT_INTERRUPTED = 130


def _tell_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"rstar {metadata.version('rstar-math')}\n")
        raise typer.Exit


def app() -> typer.Typer:
    """Every command."""
    rstar = typer.Typer(
        name="rstar",
        help="Small language models that solve hard maths by search over executed, scored steps.",
        epilog="First steps: rstar up; rstar solve 'Solve 3*x + 4 = 19 for x.'; rstar down",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_options,
    )
    for panel, commands in {
        "One machine": (stack.up, stack.down, stack.status, stack.env, doctor.doctor, demo.demo),
        "Solve": (solve.solve, tree.tree),
        "Batches": (
            submit.submit,
            batches.watch,
            batches.results,
            batches.batches,
            batches.pause,
            batches.resume,
            batches.cancel,
            dead_letters.dead_letters,
        ),
        "Models": (
            checkpoints.checkpoints,
            checkpoints.promote,
            checkpoints.download_checkpoint,
            checkpoints.upload_checkpoint,
            jobs.jobs,
            jobs.cancel_job,
        ),
    }.items():
        for command in commands:
            rstar.command(command.__name__.replace("_", "-"), rich_help_panel=panel)(command)
    rstar.command("eval", rich_help_panel="Solve")(evaluate.evaluate)
    rstar.add_typer(train.app(), name="train", rich_help_panel="Models")
    rstar.add_typer(keys.app(), name="keys", rich_help_panel="One machine")
    rstar.command("report", rich_help_panel="Models")(report.report)
    for command in (restart.restart, backup.backup, backup.restore):
        rstar.command(command.__name__, rich_help_panel="One machine")(command)
    rstar.add_typer(evolve.app(), name="evolve", rich_help_panel="Models")
    rstar.add_typer(bench.app(), name="bench", rich_help_panel="One machine")
    rstar.command("capacity", rich_help_panel="One machine")(capacity.capacity)
    rstar.command("chaos", rich_help_panel="One machine")(chaos.chaos)
    return rstar


def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_tell_version, help="Say which release this is."
        ),
    ] = False,
) -> None:
    """What `rstar` itself takes, before any command."""


def main() -> None:
    """Run one command; end with one clear line on a deliberate error."""
    logging.basicConfig(level="ERROR", format="%(message)s")
    try:
        app()()
    except RstarError as error:
        sys.stderr.write(f"rstar: {error}\n")
        sys.exit(EXIT_BY_ERROR.get(type(error), 1))
    except KeyboardInterrupt:
        sys.stderr.write("rstar: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()

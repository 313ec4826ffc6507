"""`rstar bench`: one part of the system, or all of it, measured; one JSON line each.

`e2e` drives the running system. The others belong to a service and run in a process of their
own: this command knows the module's name and nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from rstar_cli.commands.grouping import grouped
from rstar_cli.commands.options import Home, SearchOptions

SERVICES = {
    "sandbox": ("rstar_sandbox.bench", "Runs in gVisor beside the same without it."),
    "search": ("rstar_searcher.bench", "The search core and its schedules."),
    "policy": ("rstar_policy.bench", "Proposals on the engine."),
    "scale": ("rstar_searcher.bench.scale", "Replicas, and 100,000 problems queued."),
    "ppm": ("rstar_ppm.bench", "Scores on its backends."),
    "trainer": ("rstar_trainer.bench", "Training beside a plain loop on the same model."),
}
"""Module and summary of each service's own bench."""


def app() -> typer.Typer:
    """The `bench` group."""
    group = typer.Typer(help="Measure the system or one part of it.", no_args_is_help=True)
    group.callback()(_bench)
    group.command("e2e")(e2e)
    for name, (module, summary) in SERVICES.items():
        group.command(
            name,
            help=f"{summary} Arguments go to `python -m {module}`; `rstar bench {name} --help`"
            " lists them.",
            short_help=summary,
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_own_bench(module))
    return group


def _own_bench(module: str) -> Callable[[typer.Context], None]:
    def run_module(context: typer.Context) -> None:
        import subprocess
        import sys

        if {"-h", "--help"} & set(context.args):
            typer.echo(f"Example: rstar bench {context.info_name}\n")
        command = [sys.executable, "-m", module, *context.args]
        raise typer.Exit(subprocess.run(command, check=False).returncode)

    return run_module


def _bench() -> None:
    """Measure the system or one part of it."""


@grouped
def e2e(
    problems: Annotated[
        Path, typer.Option(metavar="FILE", help="Problems with answers, one JSON object a line.")
    ],
    limit: Annotated[int, typer.Option(min=0, help="This many, spread evenly; 0: all.")] = 0,
    answer_kind: Annotated[str, typer.Option(help="Of lines that name none.")] = "exact",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write every graded result.")
    ] = None,
    *,
    options: SearchOptions,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    home: Home = None,
) -> None:
    """Publish held-out problems as one batch, wait, grade, print one JSON line.

    Starts the stack if it is not up, and stops it then. The answers are read when the last
    search has ended.

    Example: rstar bench e2e --problems heldout.jsonl --limit 200
    """
    from rstar_cli.output import run

    run(_e2e(home, problems, limit, answer_kind, output, options, quiet=quiet))


async def _e2e(
    home: Path | None,
    file: Path,
    limit: int,
    answer_kind: str,
    output: Path | None,
    options: SearchOptions,
    *,
    quiet: bool,
) -> None:
    import asyncio
    from contextlib import nullcontext

    from rstar_cli.batch import new_batch_id
    from rstar_cli.campaign import campaign
    from rstar_cli.connection import endpoints
    from rstar_cli.local.borrowed import borrowed_stack
    from rstar_cli.local.checkout import default_options
    from rstar_cli.local.state import resolved_home
    from rstar_cli.machine import machine
    from rstar_cli.output import as_json, emit_json
    from rstar_cli.problems import read_problems
    from rstar_cli.report import graded_summary, result_line, versions_of
    from rstar_common.spread import spread

    problems = spread(read_problems(file, kind=answer_kind), limit)
    where = endpoints(home)
    stack = (
        nullcontext()
        if where.is_remote
        else borrowed_stack(resolved_home(home), default_options(), quiet=quiet)
    )
    async with stack:
        batch_id = new_batch_id("bench")
        settings = options.to_proto()
        done = await campaign(where, batch_id, problems, settings, references=file, quiet=quiet)
    if output:
        lines = [result_line(item, done.grades.get(item.problem_id)) for item in done.results]
        await asyncio.to_thread(output.write_text, "".join(lines), encoding="utf-8")
    summary = graded_summary(done.results, done.grades)
    used = done.results[0].result.settings if done.results else settings
    emit_json(
        {
            "benchmark": "e2e",
            **summary,
            "problems": len(problems),
            "seconds": round(done.seconds, 2),
            "versions": versions_of(done.results),
            "settings": as_json(used),
            "file": file.name,
            "batch_id": done.batch_id,
            "machine": machine(),
        }
    )

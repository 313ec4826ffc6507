"""`rstar eval`: how many problems of a set are solved, and at what cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rstar_cli.commands.grouping import grouped
from rstar_cli.commands.options import Home, Json, SearchOptions

if TYPE_CHECKING:
    from rstar_cli.evaluation.evaluation import Plan


@grouped
def evaluate(
    *,
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME",
            help="Problems with answers, or gsm8k, math500, aime2024, amc23, gaokao2023en, "
            "olympiadbench, dm_math.",
        ),
    ],
    trajectories: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Trees (mcts), width (step-beam) or samples; repeat to compare several numbers.",
        ),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also greedy, majority, best-of-n and step-beam at the tokens of each mcts.",
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(envvar="RSTAR_DATA", help="Where sets with names lie.", file_okay=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="This many, spread evenly; 0: all.")] = 0,
    answer_kind: Annotated[
        str, typer.Option(help="Of lines that name none; empty: the set's own.")
    ] = "",
    name: Annotated[
        str, typer.Option(help="Name of the run; the same name goes on where it was.")
    ] = "",
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where runs are kept.", file_okay=False)
    ] = Path("eval-out"),
    options: SearchOptions,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Solve a set of problems as at test time, then judge the answers and report.

    No search is told an answer; they are read when the last search has ended. Killed, and run
    again with the same name, it goes on, but only with the models that began it; once complete, it
    is shown again with their versions. With --baselines the report begins with one table of every
    strategy at equal generated tokens. Starts the stack if it is not up, and stops it then. Writes
    summary.json, report.md and accuracy.svg into DIR/NAME.

    Example: rstar eval dm_math --limit 50 --trajectories 4 --rollouts 8 --baselines --name first
    """
    from rstar_cli.evaluation.evaluation import plan
    from rstar_cli.evaluation.problem_sets import find
    from rstar_cli.output import console, emit_json, run
    from rstar_common.streams import check_name

    problem_set = find(what, data, answer_kind=answer_kind)
    settings = options.to_proto()
    asked = plan(
        check_name(name or problem_set.name, field="--name").replace("/", "-"),
        problem_set,
        settings,
        trajectories or [1],
        limit=limit,
        baselines=baselines,
    )
    summary = run(_evaluate(home, asked, out, quiet=quiet or json))
    if json:
        emit_json(summary)
        return
    from rstar_cli.views.evaluation import (
        equal_tokens_table,
        evaluation_notes,
        evaluation_table,
    )

    console().print(evaluation_table(summary))
    for table in summary["equal_tokens"]:
        console().print(equal_tokens_table(table))
    for note in evaluation_notes(summary):
        console().print(note)
    console().print(f"report: {out / asked.name / 'report.md'}")


async def _evaluate(home: Path | None, asked: Plan, out: Path, *, quiet: bool) -> dict[str, Any]:
    from contextlib import nullcontext

    from rstar_cli.connection import endpoints
    from rstar_cli.evaluation.evaluation import evaluate, open_run
    from rstar_cli.local.borrowed import borrowed_stack
    from rstar_cli.local.checkout import default_options
    from rstar_cli.local.state import resolved_home

    begun = open_run(out, asked)
    where = endpoints(home)
    stack = (
        nullcontext()
        if where.is_remote
        else borrowed_stack(resolved_home(home), default_options(), quiet=quiet)
    )
    async with stack:
        return await evaluate(where, asked, begun, quiet=quiet)

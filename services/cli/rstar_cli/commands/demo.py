"""`rstar demo`: two dozen held-out problems through the queue, from nothing to tree pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.grouping import grouped
from rstar_cli.commands.options import Home, SearchOptions
from rstar_cli.commands.stack import PolicyEngine

if TYPE_CHECKING:
    from rstar_cli.local.state import StackOptions


@grouped
def demo(
    problems: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Problems with answers.", show_default="data/demo.jsonl"),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the tree pages go.", file_okay=False)
    ] = Path("demo-out"),
    limit: Annotated[int, typer.Option(min=0, help="This many, spread evenly; 0: all.")] = 0,
    policy: Annotated[
        PolicyEngine, typer.Option(help="If the stack must be started.")
    ] = PolicyEngine.SGLANG,
    ppm: Annotated[bool, typer.Option(help="If the stack must be started.")] = True,
    *,
    search: SearchOptions,
    home: Home = None,
) -> None:
    """Solve held-out problems as one batch; show answers, verdicts and the search trees.

    Starts the stack if it is not up and stops what it started, on Ctrl-C too.

    Example: rstar demo --out demo-out
    """
    from rstar_cli.local.checkout import default_options, required
    from rstar_cli.output import run

    file = problems or required("data/demo.jsonl", field="--problems")
    options = default_options(policy=policy.value, ppm=ppm)
    run(_demo(home, file, out, limit, options, search))


async def _demo(
    home: Path | None,
    file: Path,
    out: Path,
    limit: int,
    options: StackOptions,
    search: SearchOptions,
) -> None:
    import asyncio
    import time

    from rstar_cli.batch import new_batch_id
    from rstar_cli.campaign import campaign
    from rstar_cli.connection import endpoints
    from rstar_cli.local.borrowed import borrowed_stack
    from rstar_cli.local.state import resolved_home
    from rstar_cli.local.survey import survey
    from rstar_cli.output import console
    from rstar_cli.problems import read_problems
    from rstar_cli.treepage.gallery import write_gallery
    from rstar_cli.views.batch import demo_totals, results_table
    from rstar_common.spread import spread

    chosen = spread(read_problems(file), limit)
    began = time.monotonic()
    where = endpoints(home)
    async with borrowed_stack(resolved_home(home), options, quiet=False):
        started = time.monotonic() - began
        batch_id = new_batch_id("demo")
        done = await campaign(where, batch_id, chosen, search.to_proto(), references=file)
        await write_gallery(where, done, out)
        seen = await survey(resolved_home(home))
    screen = console()
    await asyncio.to_thread(screen.print, results_table(done.results, done.grades))
    screen.print(demo_totals(done, started_seconds=started, memory_bytes=sum(seen.memory.values())))
    screen.print(f"search trees: {out / 'index.html'}")

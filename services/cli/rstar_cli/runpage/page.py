"""Tables and charts of a run, put together as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from rstar.v1 import evolution_pb2
from rstar_cli.runpage.cells import DEPENDENT, DEPENDENT_NOTE, contaminated_kinds
from rstar_cli.runpage.charts import Point, line_chart
from rstar_cli.runpage.measurements import series
from rstar_cli.runpage.models import PPM_METRICS
from rstar_cli.runpage.problem_sets import NOTHING_KNOWN, ProblemLabels
from rstar_cli.runpage.rounds import SEARCHING
from rstar_cli.runpage.sentences import sentences
from rstar_cli.runpage.tables import tables

Curves = Mapping[str, Sequence[Point]]
"""Training loss by step, by job."""

NOT_MEASURED_HERE = """\
Not measured by a run: how many right answers come from wrong programs (a person must read them; \
the share disowned by the agreement filter estimates it). `rstar eval` compares \
strategies at equal tokens."""

_STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0;font-size:13px;display:block;overflow-x:auto}
th,td{border:1px solid #d0d7de;padding:.25rem .6rem;text-align:left}th{background:#f6f8fa}
.note{color:#57606a;font-size:13px}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is written."""

    markdown: str
    html: str
    charts: Mapping[str, str]
    """SVG by file name."""


def report_of(
    run: evolution_pb2.Run, curves: Curves, known: ProblemLabels = NOTHING_KNOWN
) -> Report:
    """The report of a run; how many problems are behind its shares as far as that is `known`."""
    charts = {name: svg for name, svg in _charts(run, curves).items() if svg}
    found = tables(run, known)
    head = f"Run {run.run_id}"
    intro = _intro(run)
    said = sentences(run)
    notes = [NOT_MEASURED_HERE]
    if any(DEPENDENT in cell for table in found for cell in table.head):
        notes.insert(0, DEPENDENT_NOTE)
    markdown = [f"# {head}", "", *intro, ""]
    for table in found:
        markdown += [f"## {table.title}", "", *table.markdown(), ""]
    if charts:
        markdown += ["## Curves", "", *(f"![{name}]({name})" for name in charts), ""]
    if said:
        markdown += ["## In words", "", *(f"- {line}" for line in said), ""]
    for note in notes:
        markdown += [note, ""]
    body = [f"<h1>{escape(head)}</h1>", *(f"<p>{escape(line)}</p>" for line in intro if line)]
    body += [f"<figure>{svg}</figure>" for svg in charts.values()]
    body += [table.html() for table in found]
    if said:
        lines = "".join(f"<li>{escape(line)}</li>" for line in said)
        body.append(f"<h2>In words</h2><ul>{lines}</ul>")
    body += [f'<p class="note">{escape(note)}</p>' for note in notes]
    html = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(head)}</title>'
        f"<style>{_STYLE}</style>{''.join(body)}</html>\n"
    )
    return Report(markdown="\n".join(markdown), html=html, charts=charts)


def _intro(run: evolution_pb2.Run) -> list[str]:
    state = evolution_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_").lower()
    lines = [
        f"{run.recipe.description} Recipe `{run.recipe.name}`, begun "
        f"{run.created_at.ToJsonString()[:16]}, {state}, {len(run.rounds)} of "
        f"{len(run.recipe.rounds)} rounds."
    ]
    if found := contaminated_kinds(run):
        parts = [
            f"{count} of {pool} like one of {name} ({how})"
            for (pool, name, how), count in sorted(found.items())
        ]
        total = sum(found.values())
        named = len(run.contaminated)
        which = "them" if named == total else f"the first {named}; all are among the run's objects"
        lines += [
            "",
            f"{total} training problems resemble an evaluation problem and were "
            f"left out: {', '.join(parts)}. run.json names {which}.",
        ]
    elif run.rounds and run.recipe.evaluation_sets:
        ngram = run.recipe.decontamination.ngram
        how = f"text or {ngram} words in a row" if ngram else "whole text"
        lines += ["", f"No training problem resembles an evaluation problem ({how})."]
    return lines


def _charts(run: evolution_pb2.Run, curves: Curves) -> dict[str, str]:
    by_name: dict[str, list[Point]] = {
        name: [(one.round, one.made.accuracy) for one in column]
        for name, column in series(run).items()
    }
    solved = [
        (float(report.round), report.solved / report.problems)
        for report in run.rounds
        if report.problems and report.phase > SEARCHING
    ]
    pairs: dict[str, list[Point]] = {
        title: [
            (float(report.round), report.ppm_metrics[name])
            for report in run.rounds
            if name in report.ppm_metrics
        ]
        for title, name in PPM_METRICS
    }
    losses = {
        model: {name: line for name, line in curves.items() if name.startswith(model)}
        for model in ("policy", "ppm")
    }
    if any(run.recipe.rounds[report.round].trial for report in run.rounds):
        by_name = {}  # arms beside each other are no line
    return {
        "accuracy.svg": line_chart("Accuracy, by round", by_name, x_label="round", share=True),
        "solved.svg": line_chart(
            "Training problems solved", {"solved": solved}, x_label="round", share=True
        ),
        "ppm.svg": line_chart(
            "PPM pair accuracy", {k: v for k, v in pairs.items() if v}, x_label="round", share=True
        ),
        "loss.svg": line_chart("Policy: loss", losses["policy"], x_label="step", log_y=True),
        "ppm-loss.svg": line_chart("PPM: loss", losses["ppm"], x_label="step", log_y=True),
    }

"""One evaluation from its question to its report.

Order matters: every search of every arm ends before the first reference is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rstar.v1 import types_pb2
from rstar_cli.connection import Endpoints
from rstar_cli.evaluation.arms import Arm, arm_of
from rstar_cli.evaluation.baselines import baselines_of
from rstar_cli.evaluation.comparison import compared
from rstar_cli.evaluation.judging import judge
from rstar_cli.evaluation.plot import points, svg
from rstar_cli.evaluation.problem_sets import ProblemSet
from rstar_cli.evaluation.record import RECORD_FORMAT
from rstar_cli.evaluation.report import markdown
from rstar_cli.evaluation.run_directory import RunDirectory
from rstar_cli.evaluation.searching import search_arm
from rstar_cli.evaluation.summary import summary_of
from rstar_cli.evaluation.versions import answered_by, served_by
from rstar_cli.machine import machine
from rstar_cli.output import as_json
from rstar_cli.problems import read_problems, read_references
from rstar_common.errors import DeadlineExceeded, InvalidInput, Unavailable
from rstar_common.spread import spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured."""

    name: str
    problem_set: ProblemSet
    limit: int
    arms: Sequence[Arm]
    baselines: bool

    def question(self) -> dict[str, Any]:
        """What makes two runs the same one; a change of it needs another name."""
        problems = hashlib.sha256(self.problem_set.path.read_bytes()).hexdigest()
        return {
            "format": RECORD_FORMAT,
            "set": self.problem_set.name,
            "problems_sha256": problems,
            "answer_kind": self.problem_set.answer_kind,
            "limit": self.limit,
            "arms": {arm.name: as_json(arm.settings) for arm in self.arms},
            "baselines": self.baselines,
        }


def plan(
    name: str,
    problem_set: ProblemSet,
    settings: types_pb2.SearchSettings,
    trajectories: Sequence[int],
    *,
    limit: int,
    baselines: bool,
) -> Plan:
    """The arms of an evaluation.

    Raises:
        InvalidInput: a number of trajectories is impossible.
    """
    if settings.HasField("trees"):
        raise InvalidInput("is what --trajectories says", field="--trees")
    arms = {arm.name: arm for arm in (arm_of(settings, count) for count in trajectories)}
    return Plan(
        name=name,
        problem_set=problem_set,
        limit=limit,
        arms=list(arms.values()),
        baselines=baselines,
    )


async def evaluate(
    where: Endpoints, asked: Plan, run: RunDirectory, *, quiet: bool
) -> dict[str, Any]:
    """Search, then judge, then report; the summary, as written to `summary.json`."""
    file = asked.problem_set.path
    problems = spread(read_problems(file, kind=asked.problem_set.answer_kind), asked.limit)
    found = [(arm, await search_arm(where, run, arm, problems, quiet=quiet)) for arm in asked.arms]
    if asked.baselines:
        found += await baselines_of(where, run, found, problems, quiet=quiet)
    references = read_references(file)
    everything = [record for _, records in found for record in records]
    verdicts = await judge(where, run, everything, problems, references)
    arms = [summary_of(arm, records, verdicts) for arm, records in found]
    _compare(arms)
    summary = {
        "evaluation": asked.name,
        **asked.question(),
        "versions": answered_by(everything),
        "served": await _served_now(where),
        "results": arms,
        "equal_tokens": compared(found, verdicts),
        "machine": machine(),
    }
    _write(run, asked, summary)
    return summary


async def _served_now(where: Endpoints) -> Mapping[str, Sequence[str]]:
    """To say whether the figures are of it; what has ended is reported whoever is away."""
    try:
        return await served_by(where)
    except (Unavailable, DeadlineExceeded):
        return {}


def _compare(arms: Sequence[dict[str, Any]]) -> None:
    """Say of each baseline how equal its tokens came out."""
    tokens = {arm["arm"]: arm["generated_tokens"] for arm in arms}
    for arm in arms:
        if arm["baseline_of"]:
            arm["token_ratio"] = round(
                arm["generated_tokens"] / max(1, tokens[arm["baseline_of"]]), 4
            )


def _write(run: RunDirectory, asked: Plan, summary: Mapping[str, Any]) -> None:
    arms = summary["results"]
    run.write("summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    run.write("report.md", markdown(asked.name, summary, arms))
    run.write("accuracy.svg", svg(asked.name, points(arms)))


def open_run(out: Path, asked: Plan) -> RunDirectory:
    """The run's directory, new or begun. Raises `Conflict` if it holds another evaluation."""
    return RunDirectory(out / asked.name, asked.question())

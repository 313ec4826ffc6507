"""Results as JSON: one line a problem, and the totals of a batch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from rstar.v1 import searcher_pb2, tree_pb2
from rstar_cli.grading import EQUAL, UNDECIDED, Grade
from rstar_cli.output import as_json
from rstar_cli.views.batch import total_cost


def result_line(item: searcher_pb2.BatchResult, grade: Grade | None) -> str:
    """One problem's result; graded if a grade is given."""
    result = item.result
    value: dict[str, object] = {
        "problem_id": item.problem_id,
        "question": item.question,
        "answer": result.answer,
        "status": tree_pb2.SearchStatus.Name(result.status),
        "ended_by": tree_pb2.EndedBy.Name(result.ended_by),
        "answer_score": result.answer_score,
        "solution": [{"text": step.text, "output": step.output} for step in result.solution],
        "search_id": result.search_id,
        "tree_key": result.tree_key,
        "versions": as_json(result.versions),
        "cost": as_json(result.cost),
        "labels": dict(item.labels),
        "finished_at": item.finished_at.ToJsonString(),
    }
    if result.HasField("failure"):
        value["failure"] = as_json(result.failure)
    if grade:
        value |= {"reference": grade.reference, "verdict": grade.verdict}
    return json.dumps(value, ensure_ascii=False) + "\n"


def graded_summary(
    found: Sequence[searcher_pb2.BatchResult], grades: Mapping[str, Grade]
) -> dict[str, object]:
    """Counts and cost of a batch; `solved` and `undecided` only if it was graded."""
    cost = total_cost(found)
    answered = sum(item.result.status == tree_pb2.SEARCH_STATUS_ANSWERED for item in found)
    summary: dict[str, object] = {"problems": len(found), "answered": answered}
    if grades:
        counts = Counter(grade.verdict for grade in grades.values())
        summary |= {"solved": counts[EQUAL], "undecided": counts[UNDECIDED]}
    return summary | {
        "search_seconds": round(cost.wall_seconds, 3),
        "generated_tokens": cost.generated_tokens,
        "sandbox_runs": cost.sandbox_runs,
        "rollouts": cost.rollouts,
        "expansions": cost.expansions,
        "retries": cost.retries,
    }


def versions_of(found: Sequence[searcher_pb2.BatchResult]) -> dict[str, list[str]]:
    """The distinct versions of each tier that made these results."""
    versions = [item.result.versions for item in found]
    return {
        "policy": sorted({version.policy for version in versions if version.policy}),
        "ppm": sorted({version.ppm for version in versions if version.ppm}),
        "sandbox": sorted({version.sandbox for version in versions if version.sandbox}),
    }

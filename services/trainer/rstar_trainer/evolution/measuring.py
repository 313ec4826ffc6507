"""Evaluation results graded afterwards: the answers of test-time searches against references.

The references come from the run's own problem sets; no searcher has seen them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rstar.v1 import evolution_pb2, sandbox_pb2, searcher_pb2, tree_pb2, types_pb2
from rstar_trainer.evolution.problems import label_of
from rstar_trainer.evolution.tiers import Tiers

Z_95 = 1.96


def total_cost(results: Sequence[searcher_pb2.BatchResult]) -> types_pb2.Cost:
    """The sum of what searches cost."""
    total = types_pb2.Cost()
    for result in results:
        for descriptor, value in result.result.cost.ListFields():
            setattr(total, descriptor.name, getattr(total, descriptor.name) + value)
    return total


def shares(outcomes: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    """Share of true outcomes of each label."""
    return {label: sum(each) / len(each) for label, each in sorted(outcomes.items())}


def half_interval(right: int, total: int) -> float:
    """Half of the Wilson 95 % interval of a share."""
    if not total:
        return 0.0
    share = right / total
    inner = share * (1 - share) / total + Z_95**2 / (4 * total**2)
    return Z_95 / (1 + Z_95**2 / total) * math.sqrt(inner)


async def measure(
    tiers: Tiers,
    problems: Sequence[types_pb2.Problem],
    results: Sequence[searcher_pb2.BatchResult],
) -> evolution_pb2.EvaluationReport:
    """Grade the results of a batch; a problem without one counts as unanswered."""
    by_id = {result.problem_id: result for result in results}
    asked = [
        problem
        for problem in problems
        if problem.problem_id in by_id
        and by_id[problem.problem_id].result.status == tree_pb2.SEARCH_STATUS_ANSWERED
    ]
    verdicts = await tiers.judge(
        [
            sandbox_pb2.AnswerPair(
                answer=by_id[problem.problem_id].result.answer,
                reference=problem.reference,
                kind=problem.answer_kind,
                question=problem.question,
            )
            for problem in asked
        ]
    )
    verdict_of = {
        problem.problem_id: verdict for problem, verdict in zip(asked, verdicts, strict=True)
    }
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for problem in problems:
        outcomes[label_of(problem.labels)].append(
            verdict_of.get(problem.problem_id) == types_pb2.VERDICT_EQUAL
        )
    by_label = shares(outcomes)
    right = sum(sum(each) for each in outcomes.values())
    versions = [result.result.versions for result in results]
    return evolution_pb2.EvaluationReport(
        problems=len(problems),
        right=right,
        undecided=sum(verdict == types_pb2.VERDICT_UNDECIDED for verdict in verdicts),
        unanswered=len(problems) - len(asked),
        accuracy=sum(by_label.values()) / len(by_label) if by_label else 0.0,
        by_label=by_label if set(by_label) != {""} else {},
        cost=total_cost(results),
        policy_version=" ".join(sorted({one.policy for one in versions if one.policy})),
        ppm_version=" ".join(sorted({one.ppm for one in versions if one.ppm})),
        half_interval=half_interval(right, len(problems)),
    )

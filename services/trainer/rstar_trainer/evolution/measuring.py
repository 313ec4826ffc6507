"""Evaluation results graded afterwards: the answers of test-time searches against references.

The references come from the run's own problem sets; no searcher has seen them. Accuracy is
the mean over labels, e.g. modules, as published figures are.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rstar.v1 import evolution_pb2, sandbox_pb2, searcher_pb2, tree_pb2, types_pb2
from rstar_common.errors import NotFound, RstarError, first_leaf
from rstar_trainer.evolution.problems import label_of, level_of
from rstar_trainer.evolution.ranking import (
    Finished,
    Graded,
    finished_trajectories,
    holding,
    ranking,
)
from rstar_trainer.evolution.tiers import Tiers

Z_95 = 1.96

PRIOR = 2.0
"""Answers that a label is given in advance, right as often as those of all labels: the few of one
label are all right or all wrong by chance, and would claim to have no variance."""

CONCURRENCY = 32


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


def mean_of_shares(outcomes: Mapping[str, Sequence[bool]]) -> tuple[float, float]:
    """The mean over labels of the share that is true, and half of its 95 % interval.

    The variance is that of a stratified sample: of each label's mean, over labels squared.
    """
    total = sum(len(each) for each in outcomes.values())
    if not total:
        return 0.0, 0.0
    pooled = (sum(sum(each) for each in outcomes.values()) + 0.5) / (total + 1)
    variance = 0.0
    for each in outcomes.values():
        share = (sum(each) + PRIOR * pooled) / (len(each) + PRIOR)
        variance += share * (1 - share) / len(each)
    mean = sum(shares(outcomes).values()) / len(outcomes)
    return mean, Z_95 * math.sqrt(variance) / len(outcomes)


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
    levels: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for problem in problems:
        right = verdict_of.get(problem.problem_id) == types_pb2.VERDICT_EQUAL
        outcomes[label_of(problem.labels)].append(right)
        levels[level_of(problem.labels)][label_of(problem.labels)].append(right)
    by_label = shares(outcomes)
    accuracy, half = mean_of_shares(outcomes)
    versions = [result.result.versions for result in results]
    found = await _found(tiers, problems, results)
    return evolution_pb2.EvaluationReport(
        problems=len(problems),
        right=sum(sum(each) for each in outcomes.values()),
        undecided=sum(verdict == types_pb2.VERDICT_UNDECIDED for verdict in verdicts),
        unanswered=len(problems) - len(asked),
        accuracy=accuracy,
        by_label=by_label if set(by_label) != {""} else {},
        cost=total_cost(results),
        policy_version=" ".join(sorted({one.policy for one in versions if one.policy})),
        ppm_version=" ".join(sorted({one.ppm for one in versions if one.ppm})),
        half_interval=half,
        by_level={level: _level_report(each) for level, each in sorted(levels.items()) if level},
        ranking=ranking(found),
        holding=holding(found),
    )


def _level_report(outcomes: Mapping[str, Sequence[bool]]) -> evolution_pb2.LevelReport:
    accuracy, half = mean_of_shares(outcomes)
    return evolution_pb2.LevelReport(
        problems=sum(len(each) for each in outcomes.values()),
        right=sum(sum(each) for each in outcomes.values()),
        accuracy=accuracy,
        half_interval=half,
    )


async def _found(
    tiers: Tiers,
    problems: Sequence[types_pb2.Problem],
    results: Sequence[searcher_pb2.BatchResult],
) -> list[Graded]:
    """Every answer of these searches, chosen or not, with its verdict."""
    slots = asyncio.Semaphore(CONCURRENCY)

    async def read(result: searcher_pb2.BatchResult) -> list[Finished]:
        async with slots:
            try:
                data = await tiers.tree(result.result.tree_key)
            except NotFound:  # a search that failed has left none
                return []
            return await asyncio.to_thread(
                lambda: finished_trajectories(tree_pb2.Tree.FromString(data))
            )

    kept = [one for one in results if one.result.tree_key]
    try:
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(read(result)) for result in kept]
    except* RstarError as failures:
        # One cause is enough; callers branch on the class.
        raise first_leaf(failures) from failures
    problem_of = {problem.problem_id: problem for problem in problems}
    found = {result.problem_id: task.result() for result, task in zip(kept, reading, strict=True)}
    asked = [
        (name, answer)
        for name, trajectories in found.items()
        for answer in sorted({one.answer for one in trajectories})
    ]
    verdicts = await tiers.judge(
        [
            sandbox_pb2.AnswerPair(
                answer=answer,
                reference=problem_of[name].reference,
                kind=problem_of[name].answer_kind,
                question=problem_of[name].question,
            )
            for name, answer in asked
        ]
    )
    judged: dict[str, dict[str, types_pb2.Verdict.ValueType]] = defaultdict(dict)
    for (name, answer), verdict in zip(asked, verdicts, strict=True):
        judged[name][answer] = verdict
    return [(trajectories, judged[name]) for name, trajectories in found.items()]

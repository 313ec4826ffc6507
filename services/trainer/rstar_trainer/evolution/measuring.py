"""Evaluation results graded afterwards: the answers of test-time searches against references.

The references come from the run's own problem sets; no searcher has seen them. Accuracy is
the mean over labels, e.g. modules, as published figures are.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set

from rstar.v1 import evolution_pb2, sandbox_pb2, searcher_pb2, tree_pb2, types_pb2
from rstar_common.errors import NotFound, RstarError, first_leaf
from rstar_trainer.evolution.problems import label_of, level_of
from rstar_trainer.evolution.ranking import Finished, finished_trajectories, holding, ranking
from rstar_trainer.evolution.tiers import Tiers

Z_95 = 1.96

PRIOR = 2.0
"""Answers that a label is given in advance, right as often as those of all labels: the few of one
label are all right or all wrong by chance, and would claim to have no variance."""

CONCURRENCY = 32

Verdicts = Mapping[str, Mapping[str, types_pb2.Verdict.ValueType]]
"""Of every answer that searches found, by problem."""


def total_cost(results: Sequence[searcher_pb2.BatchResult]) -> types_pb2.Cost:
    """The sum of what searches cost."""
    total = types_pb2.Cost()
    for result in results:
        add_cost(total, result.result.cost)
    return total


def add_cost(total: types_pb2.Cost, cost: types_pb2.Cost) -> None:
    """Add field by field."""
    for descriptor, value in cost.ListFields():
        setattr(total, descriptor.name, getattr(total, descriptor.name) + value)


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
    found = await _found(tiers, results)
    answered = {
        one.problem_id: one.result
        for one in results
        if one.result.status == tree_pb2.SEARCH_STATUS_ANSWERED
    }
    selected = {name: result.answer for name, result in answered.items()}
    verdicts = await _verdicts(tiers, problems, found, answered)
    right = _right(selected, verdicts)
    outcomes = _outcomes(problems, right)
    by_label = shares(outcomes)
    accuracy, half = mean_of_shares(outcomes)
    versions = [result.result.versions for result in results]
    graded = [(trajectories, verdicts[name]) for name, trajectories in found.items()]
    return evolution_pb2.EvaluationReport(
        problems=len(problems),
        right=len(right),
        undecided=sum(
            verdicts[name][answer] == types_pb2.VERDICT_UNDECIDED
            for name, answer in selected.items()
        ),
        unanswered=len(problems) - len(selected),
        accuracy=accuracy,
        by_label=by_label if set(by_label) != {""} else {},
        cost=total_cost(results),
        policy_version=" ".join(sorted({one.policy for one in versions if one.policy})),
        ppm_version=" ".join(sorted({one.ppm for one in versions if one.ppm})),
        half_interval=half,
        by_level=_by_level(problems, right),
        ranking=ranking(graded),
        holding=holding(graded),
        by_rule=_by_rule(problems, answered, verdicts),
    )


def _by_rule(
    problems: Sequence[types_pb2.Problem],
    answered: Mapping[str, tree_pb2.SearchResult],
    verdicts: Verdicts,
) -> list[evolution_pb2.RuleReport]:
    """Empty where a result does not say what rules choose: greedy ones, and of older searchers."""
    if not all(result.choices for result in answered.values()):
        return []
    chosen: dict[types_pb2.AnswerSelection.ValueType, dict[str, str]] = defaultdict(dict)
    for name, result in answered.items():
        for choice in result.choices:
            chosen[choice.rule][name] = choice.answer
    reports = []
    for rule, answers in sorted(chosen.items()):
        right = _right(answers, verdicts)
        reports.append(
            evolution_pb2.RuleReport(
                rule=rule,
                all=_in_brief(_outcomes(problems, right)),
                by_level=_by_level(problems, right),
            )
        )
    return reports


def _right(answers: Mapping[str, str], verdicts: Verdicts) -> set[str]:
    """The problems that are answered rightly."""
    return {
        name
        for name, answer in answers.items()
        if verdicts[name][answer] == types_pb2.VERDICT_EQUAL
    }


def _outcomes(problems: Sequence[types_pb2.Problem], right: Set[str]) -> dict[str, list[bool]]:
    """Of each label, whether its problems were answered rightly."""
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for problem in problems:
        outcomes[label_of(problem.labels)].append(problem.problem_id in right)
    return outcomes


def _by_level(
    problems: Sequence[types_pb2.Problem], right: Set[str]
) -> dict[str, evolution_pb2.LevelReport]:
    levels: dict[str, list[types_pb2.Problem]] = defaultdict(list)
    for problem in problems:
        if level := level_of(problem.labels):
            levels[level].append(problem)
    return {level: _in_brief(_outcomes(its, right)) for level, its in sorted(levels.items())}


def _in_brief(outcomes: Mapping[str, Sequence[bool]]) -> evolution_pb2.LevelReport:
    accuracy, half = mean_of_shares(outcomes)
    return evolution_pb2.LevelReport(
        problems=sum(len(each) for each in outcomes.values()),
        right=sum(sum(each) for each in outcomes.values()),
        accuracy=accuracy,
        half_interval=half,
    )


async def _found(
    tiers: Tiers, results: Sequence[searcher_pb2.BatchResult]
) -> dict[str, list[Finished]]:
    """Every finished trajectory of these searches, chosen or not, by problem."""
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
    return {result.problem_id: task.result() for result, task in zip(kept, reading, strict=True)}


async def _verdicts(
    tiers: Tiers,
    problems: Sequence[types_pb2.Problem],
    found: Mapping[str, Sequence[Finished]],
    answered: Mapping[str, tree_pb2.SearchResult],
) -> Verdicts:
    """Judge every answer once: those that some rule chooses, and those that none does."""
    answers = {name: {one.answer for one in trajectories} for name, trajectories in found.items()}
    for name, result in answered.items():
        by_rules = {choice.answer for choice in result.choices}
        answers.setdefault(name, set()).update(by_rules, {result.answer})
    problem_of = {problem.problem_id: problem for problem in problems}
    asked = [(name, answer) for name in answers for answer in sorted(answers[name])]
    judged = await tiers.judge(
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
    verdicts: dict[str, dict[str, types_pb2.Verdict.ValueType]] = {name: {} for name in answers}
    for (name, answer), verdict in zip(asked, judged, strict=True):
        verdicts[name][answer] = verdict
    return verdicts

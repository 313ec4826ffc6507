"""What a run will do and how long it may take: counts are ceilings, seconds are guesses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rstar.v1 import evolution_pb2, trainer_pb2, types_pb2
from rstar_trainer.evolution.rules import second_settings
from rstar_trainer.job import FEWEST_EPOCHS, PolicySpec, PpmSpec
from rstar_trainer.wire import spec_from

STEPS_A_PROGRAM = 2
"""Steps of a trajectory that run, for the estimate."""

UNSOLVED_GUESS = 0.3
"""Share of a round's problems that a second search is for."""

LENGTH_SHARE = 0.25
"""Of `max_length`, the tokens of an example: 115 of 512 at mini scale, 1,000 of 4,096 at 7B."""

EXAMPLES_A_TRAJECTORY = 25
"""For a policy from random weights: itself and its variants. All problems count as solved."""

GROUPS_A_PROBLEM = 1
"""Preference pairs are learned in groups: 2,775 of 3,298 problems at mini scale."""

DEFAULT_RUNS_PER_SECOND = 20.0
DEFAULT_TOKENS_PER_SECOND = 5000.0
DEFAULT_ROLLOUTS = 8
DEFAULT_CANDIDATES = 8


def plan_rounds(
    recipe: evolution_pb2.Recipe, pool_sizes: Mapping[str, int], set_sizes: Mapping[str, int]
) -> list[evolution_pb2.PlannedRound]:
    """An estimate of each round, from the recipe and the sizes of its problem sets."""
    resources = recipe.resources
    runs = resources.sandbox_runs_per_second or DEFAULT_RUNS_PER_SECOND
    tokens = resources.training_tokens_per_second or DEFAULT_TOKENS_PER_SECOND
    searched: list[int] = []
    planned = []
    for number, round_ in enumerate(recipe.rounds):
        available = sum(pool_sizes[name] for name in round_.pools or pool_sizes)
        problems = min(round_.problems or available, available)
        if round_.batch_ids:
            problems = 0
        searched.append(problems)
        rollouts = problems * _rollouts(round_.search)
        sandbox_runs = problems * _runs(round_.search)
        search_seconds = sandbox_runs / runs
        if round_.HasField("second_search"):
            second = second_settings(round_, recipe, number)
            rollouts += problems * _rollouts(second)
            sandbox_runs += problems * _runs(second)
            search_seconds += UNSOLVED_GUESS * problems * _runs(second) / runs
        sizes = [
            min(one.problems or set_sizes[one.set], set_sizes[one.set])
            for one in round_.evaluations
        ]
        evaluation_runs = sum(
            size * _runs(one.search) for size, one in zip(sizes, round_.evaluations, strict=True)
        )
        planned.append(
            evolution_pb2.PlannedRound(
                round=number,
                problems=problems,
                rollouts=rollouts,
                sandbox_runs=sandbox_runs,
                evaluation_problems=sum(sizes),
                evaluation_sandbox_runs=evaluation_runs,
                search_seconds=search_seconds,
                training_seconds=sum(_training_tokens(recipe, searched, number)) / tokens,
                evaluation_seconds=evaluation_runs / runs,
            )
        )
    return planned


def seconds_left(
    plan: Sequence[evolution_pb2.PlannedRound], run: evolution_pb2.Run, share_of_phase: float
) -> float:
    """Planned seconds of what is not done, scaled by how the planned seconds held so far."""
    planned_done = real_done = left = 0.0
    phases = evolution_pb2.RoundPhase
    current = len(run.rounds) - 1
    searched = [planned.problems for planned in plan]
    for number, planned in enumerate(plan):
        report = run.rounds[number] if number <= current else None
        policy, ppm = _training_tokens(run.recipe, searched, number)
        policy_seconds = planned.training_seconds * policy / ((policy + ppm) or 1)
        for phase, seconds in (
            (phases.ROUND_PHASE_SEARCHING, planned.search_seconds),
            (phases.ROUND_PHASE_TRAINING_POLICY, policy_seconds),
            (phases.ROUND_PHASE_TRAINING_PPM, planned.training_seconds - policy_seconds),
            (phases.ROUND_PHASE_EVALUATING, planned.evaluation_seconds),
        ):
            name = phase_name(phase)
            if report is not None and name in report.seconds:
                planned_done += seconds
                real_done += report.seconds[name]
            elif report is not None and report.phase == phase:
                left += seconds * (1 - share_of_phase)
            elif report is None or report.phase < phase:
                left += seconds
    return left * (real_done / planned_done if planned_done and real_done else 1.0)


def progress(
    plan: Sequence[evolution_pb2.PlannedRound], run: evolution_pb2.Run, share_of_phase: float
) -> float:
    """Planned seconds of what is done, as a share of all."""
    unscaled = evolution_pb2.Run()
    unscaled.CopyFrom(run)
    for report in unscaled.rounds:
        for name in list(report.seconds):
            report.seconds[name] = 0.0
    total = sum(one.search_seconds + one.training_seconds + one.evaluation_seconds for one in plan)
    return 1 - seconds_left(plan, unscaled, share_of_phase) / total if total else 0.0


def phase_name(phase: evolution_pb2.RoundPhase.ValueType) -> str:
    """A phase as it is told to people: `searching`."""
    name = evolution_pb2.RoundPhase.Name(phase)
    return name.removeprefix("ROUND_PHASE_").lower().replace("_", " ")


def _rollouts(search: types_pb2.SearchSettings) -> int:
    each = (search.rollouts or DEFAULT_ROLLOUTS) * (search.trees or 1)
    if search.strategy == types_pb2.STRATEGY_GREEDY:
        return 1
    return each + sum(search.extra_rollouts)


def _runs(search: types_pb2.SearchSettings) -> int:
    tree = search.strategy in (
        types_pb2.STRATEGY_UNSPECIFIED,
        types_pb2.STRATEGY_MCTS,
        types_pb2.STRATEGY_STEP_BEAM,
    )
    width = (search.candidates or DEFAULT_CANDIDATES) if tree else 1
    return _rollouts(search) * STEPS_A_PROGRAM * width


def _training_tokens(
    recipe: evolution_pb2.Recipe, searched: Sequence[int], number: int
) -> tuple[int, int]:
    """Tokens that a round trains its policy and its PPM on; `searched` are problems a round."""
    round_ = recipe.rounds[number]
    pairs = zip(searched, recipe.rounds[: number + 1], strict=False)
    counts = [count for count, one in pairs if not one.batch_ids]
    for_ppm = round_.ppm_learn_from_rounds or round_.learn_from_rounds
    learned, compared = (
        0 if round_.batch_ids else sum(counts[-rounds:])  # -0: all
        for rounds in (round_.learn_from_rounds, for_ppm)
    )
    policy = ppm = 0
    if round_.HasField("policy"):
        request = trainer_pb2.SubmitJobRequest(train_policy=round_.policy)
        request.train_policy.batch_ids.append("planned")
        policy = _tokens(spec_from(request), learned)
    if round_.HasField("ppm"):
        request = trainer_pb2.SubmitJobRequest(train_ppm=round_.ppm)
        request.train_ppm.batch_ids.append("planned")
        ppm = _tokens(spec_from(request), compared)
    return policy, ppm


def _tokens(spec: PolicySpec | PpmSpec, problems: int) -> int:
    """Tokens of a job, by the trainer's own rule, that learns from `problems`; 0: nobody knows."""
    training = spec.training
    if training.untrained:
        return 0
    if isinstance(spec, PolicySpec):
        examples = spec.trajectories_per_problem * (1 if spec.base else EXAMPLES_A_TRAJECTORY)
    else:
        examples = GROUPS_A_PROBLEM * (1 + spec.variants)
    epoch = problems * examples * training.max_length * LENGTH_SHARE
    epoch = int(epoch or training.enough_tokens / FEWEST_EPOCHS)
    batches = math.ceil(epoch / training.batch_tokens)
    return training.steps(batches=batches, tokens=epoch) * training.batch_tokens

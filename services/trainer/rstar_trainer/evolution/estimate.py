"""What a run will do and how long it may take: ceilings of counts; tokens, seconds are guesses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2, trainer_pb2, types_pb2
from rstar_common.checkpoints import BOOTSTRAP
from rstar_trainer.evolution.rules import second_settings
from rstar_trainer.job import FEWEST_EPOCHS, PolicySpec, PpmSpec
from rstar_trainer.wire import spec_from

STEPS_A_PROGRAM = 2
"""Steps of a trajectory that run, for the estimate."""

UNSOLVED_GUESS = 0.3
"""Share of a round's problems that a second search is for."""

TREE_GUESS = 0.1
"""Of a tree's ceiling: rollouts share beginnings, equal siblings are one (mini scale: 6 of 64)."""

TREE_TOKENS_GUESS = 0.25
"""The same of generated tokens: equal siblings are generated before they are one (356 of 1,640)."""

STEP_LENGTH_SHARE = 0.1
"""Of `max_step_tokens`, the tokens of a step: 22 of 256 at mini scale."""

LEAST_SHARE = 0.12
"""Of a phase, that says something about its speed: a job is at 0.1 when it begins to train."""

LENGTH_SHARE = 0.25
"""Of `max_length`, the tokens of an example: 115 of 512 at mini scale, 1,000 of 4,096 at 7B."""

EXAMPLES_A_TRAJECTORY = 25
"""For a policy from random weights: itself and its variants. All problems count as solved."""

GROUPS_A_PROBLEM = 1
"""Preference pairs are learned in groups: 2,775 of 3,298 problems at mini scale."""

LATEST = 2
"""Phases of a kind that say how fast it goes."""

DEFAULT_RUNS_PER_SECOND = 20.0
DEFAULT_TOKENS_PER_SECOND = 5000.0
DEFAULT_GENERATED_TOKENS_PER_SECOND = 1000.0
DEFAULT_STEP_TOKENS = 2048
DEFAULT_ROLLOUTS = 8
DEFAULT_CANDIDATES = 8


def plan_rounds(
    recipe: evolution_pb2.Recipe, pool_sizes: Mapping[str, int], set_sizes: Mapping[str, int]
) -> list[evolution_pb2.PlannedRound]:
    """An estimate of each round, from the recipe and the sizes of its problem sets."""
    tokens = recipe.resources.training_tokens_per_second or DEFAULT_TOKENS_PER_SECOND
    searched: list[int] = []
    planned = []
    for number, round_ in enumerate(recipe.rounds):
        available = sum(pool_sizes[name] for name in round_.pools or pool_sizes)
        problems = min(round_.problems or available, available)
        if round_.batch_ids:
            problems = 0
        searched.append(problems)
        random = round_.bootstrap
        searches = [_Searches(problems, round_.search, random=random)]
        if round_.HasField("second_search"):
            second = second_settings(round_, recipe, number)
            by_random = random or round_.second_bootstrap
            searches.append(_Searches(problems, second, random=by_random, share=UNSOLVED_GUESS))
        sizes = [
            min(one.problems or set_sizes[one.set], set_sizes[one.set])
            for one in round_.evaluations
        ]
        random = round_.policy_version == BOOTSTRAP or (random and not round_.HasField("policy"))
        evaluations = [
            _Searches(size, one.search, random=random)
            for size, one in zip(sizes, round_.evaluations, strict=True)
        ]
        planned.append(
            evolution_pb2.PlannedRound(
                round=number,
                problems=problems,
                rollouts=sum(one.most * _rollouts(one.settings) for one in searches),
                sandbox_runs=sum(one.most * _runs(one.settings) for one in searches),
                evaluation_problems=sum(sizes),
                evaluation_sandbox_runs=sum(one.most * _runs(one.settings) for one in evaluations),
                search_seconds=_seconds(searches, recipe.resources),
                training_seconds=sum(_training_tokens(recipe, searched, number)) / tokens,
                evaluation_seconds=_seconds(evaluations, recipe.resources),
                search_tokens=round(sum(one.expected_tokens for one in searches)),
                evaluation_tokens=round(sum(one.expected_tokens for one in evaluations)),
            )
        )
    return planned


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phase:
    """A phase of a round, as it was planned and as it went."""

    trains: bool
    planned: float
    """Seconds."""

    done: float = 0.0
    """A share."""

    real: float = 0.0
    """Seconds it has taken so far."""


def seconds_left(
    plan: Sequence[evolution_pb2.PlannedRound],
    run: evolution_pb2.Run,
    share_of_phase: float,
) -> float:
    """Planned seconds of what is not done, scaled by how the planned seconds held lately.

    What trains and what runs programs are scaled apart: their plans err for other reasons. The
    phase under way counts by its share. Where the system was slow, a phase took longer than it
    would again: the latest phases say most.
    """
    phases = _phases(plan, run, share_of_phase)
    left = 0.0
    for trains in (True, False):
        alike = [phase for phase in phases if phase.trains == trains]
        told = [phase for phase in alike if phase.real and phase.done >= LEAST_SHARE][-LATEST:]
        planned, real = sum(one.planned * one.done for one in told), sum(one.real for one in told)
        scale = real / planned if planned else 1.0
        left += scale * sum(phase.planned * (1 - phase.done) for phase in alike)
    return left


def progress(
    plan: Sequence[evolution_pb2.PlannedRound], run: evolution_pb2.Run, share_of_phase: float
) -> float:
    """Planned seconds of what is done, as a share of all."""
    phases = _phases(plan, run, share_of_phase)
    total = sum(phase.planned for phase in phases)
    return sum(phase.planned * phase.done for phase in phases) / total if total else 0.0


def _phases(
    plan: Sequence[evolution_pb2.PlannedRound],
    run: evolution_pb2.Run,
    share_of_phase: float,
) -> list[_Phase]:
    names = evolution_pb2.RoundPhase
    searched = [planned.problems for planned in plan]
    phases = []
    for number, planned in enumerate(plan):
        report = run.rounds[number] if number < len(run.rounds) else None
        policy, ppm = _training_tokens(run.recipe, searched, number)
        policy_seconds = planned.training_seconds * policy / ((policy + ppm) or 1)
        for phase, trains, seconds in (
            (names.ROUND_PHASE_SEARCHING, False, planned.search_seconds),
            (names.ROUND_PHASE_TRAINING_POLICY, True, policy_seconds),
            (names.ROUND_PHASE_TRAINING_PPM, True, planned.training_seconds - policy_seconds),
            (names.ROUND_PHASE_EVALUATING, False, planned.evaluation_seconds),
        ):
            done = real = 0.0
            if report is not None and phase_name(phase) in report.seconds:
                done, real = 1.0, report.seconds[phase_name(phase)]
            elif report is not None and report.phase == phase:
                done, real = share_of_phase, report.phase_seconds
            elif report is not None and report.phase > phase:
                done = 1.0
            phases.append(_Phase(trains=trains, planned=seconds, done=done, real=real))
    return phases


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
    """Programs that a search runs at most."""
    width = (search.candidates or DEFAULT_CANDIDATES) if _grows_a_tree(search) else 1
    return _rollouts(search) * STEPS_A_PROGRAM * width


@dataclass(frozen=True, slots=True)
class _Searches:
    """Searches of one kind, by the policy or by random programs."""

    most: int
    settings: types_pb2.SearchSettings
    random: bool
    share: float = 1.0
    """Of `most`, what may be expected."""

    @property
    def expected_runs(self) -> float:
        """Programs."""
        guess = TREE_GUESS if _grows_a_tree(self.settings) else 1.0
        return self.share * self.most * _runs(self.settings) * guess

    @property
    def expected_tokens(self) -> float:
        """Generated by the policy; random programs are no tokens."""
        if self.random:
            return 0.0
        guess = TREE_TOKENS_GUESS if _grows_a_tree(self.settings) else 1.0
        step = STEP_LENGTH_SHARE * (self.settings.max_step_tokens or DEFAULT_STEP_TOKENS)
        return self.share * self.most * _runs(self.settings) * guess * step


def _seconds(searches: Sequence[_Searches], resources: evolution_pb2.Resources) -> float:
    """What searches may take where generating and running share the same cores."""
    runs = resources.sandbox_runs_per_second or DEFAULT_RUNS_PER_SECOND
    tokens = resources.generated_tokens_per_second or DEFAULT_GENERATED_TOKENS_PER_SECOND
    return sum(one.expected_runs / runs + one.expected_tokens / tokens for one in searches)


def _grows_a_tree(search: types_pb2.SearchSettings) -> bool:
    return search.strategy in (
        types_pb2.STRATEGY_UNSPECIFIED,
        types_pb2.STRATEGY_MCTS,
        types_pb2.STRATEGY_STEP_BEAM,
    )


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

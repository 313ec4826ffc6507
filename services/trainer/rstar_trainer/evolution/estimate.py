"""What a recipe will do: ceilings of counts; tokens and seconds are guesses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2, trainer_pb2, types_pb2
from rstar_common.checkpoints import BOOTSTRAP
from rstar_trainer.evolution.rules import second_settings
from rstar_trainer.spec import FEWEST_EPOCHS, PolicySpec, PpmSpec
from rstar_trainer.wire import spec_from

STEPS_A_PROGRAM = 2
"""Steps of a trajectory that run, for the estimate."""

UNSOLVED_GUESS = 0.3
"""Share of a round's problems that extra rollouts, or a second search, are for."""

TREE_GUESS = 0.1
"""Of a tree's ceiling: rollouts share beginnings, equal siblings are one (mini scale: 6 of 64)."""

TREE_TOKENS_GUESS = 0.25
"""The same of generated tokens: equal siblings are generated before they are one (356 of 1,640)."""

STEP_LENGTH_SHARE = 0.1
"""Of `max_step_tokens`, the tokens of a step: 22 of 256 at mini scale."""

LENGTH_SHARE = 0.25
"""Of `max_length`, the tokens of an example: 115 of 512 at mini scale, 1,000 of 4,096 at 7B."""

EXAMPLES_A_TRAJECTORY = 25
"""For a policy from random weights: itself and its variants. All problems count as solved."""

GROUPS_A_PROBLEM = 1
"""Preference pairs are learned in groups: 2,775 of 3,298 problems at mini scale."""

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
        learned = sum(training_tokens(recipe, searched, number))
        search_seconds = [one.seconds(recipe.resources) for one in searches]
        evaluation_seconds = [one.seconds(recipe.resources) for one in evaluations]
        planned.append(
            evolution_pb2.PlannedRound(
                round=number,
                problems=problems,
                rollouts=round(sum(one.most * _rollouts(one.settings) for one in searches)),
                sandbox_runs=round(sum(one.most * _runs(one.settings) for one in searches)),
                evaluation_problems=sum(sizes),
                evaluation_sandbox_runs=round(
                    sum(one.most * _runs(one.settings) for one in evaluations)
                ),
                search_seconds=sum(search_seconds),
                each_search_seconds=search_seconds,
                training_seconds=learned / tokens,
                training_tokens=learned,
                evaluation_seconds=sum(evaluation_seconds),
                each_evaluation_seconds=evaluation_seconds,
                search_tokens=round(sum(one.expected_tokens for one in searches)),
                evaluation_tokens=round(sum(one.expected_tokens for one in evaluations)),
            )
        )
    return planned


def _rollouts(search: types_pb2.SearchSettings, *, extra: float = 1.0) -> float:
    """Rollouts of a search; `extra` is the share of searches that go on with the extra ones."""
    if search.strategy == types_pb2.STRATEGY_GREEDY:
        return 1
    each = (search.rollouts or DEFAULT_ROLLOUTS) * (search.trees or 1)
    return each + extra * sum(search.extra_rollouts)


def _runs(search: types_pb2.SearchSettings, *, extra: float = 1.0) -> float:
    """Programs that a search runs at most, with that share of its extra rollouts."""
    width = (search.candidates or DEFAULT_CANDIDATES) if _grows_a_tree(search) else 1
    return _rollouts(search, extra=extra) * STEPS_A_PROGRAM * width


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
        return self.share * self.most * _runs(self.settings, extra=UNSOLVED_GUESS) * guess

    @property
    def expected_tokens(self) -> float:
        """Generated by the policy; random programs are no tokens."""
        if self.random:
            return 0.0
        guess = TREE_TOKENS_GUESS if _grows_a_tree(self.settings) else 1.0
        step = STEP_LENGTH_SHARE * (self.settings.max_step_tokens or DEFAULT_STEP_TOKENS)
        return self.share * self.most * _runs(self.settings, extra=UNSOLVED_GUESS) * guess * step

    def seconds(self, resources: evolution_pb2.Resources) -> float:
        """What they may take where generating and running share the same cores."""
        runs = resources.sandbox_runs_per_second or DEFAULT_RUNS_PER_SECOND
        tokens = resources.generated_tokens_per_second or DEFAULT_GENERATED_TOKENS_PER_SECOND
        return self.expected_runs / runs + self.expected_tokens / tokens


def _grows_a_tree(search: types_pb2.SearchSettings) -> bool:
    return search.strategy in (
        types_pb2.STRATEGY_UNSPECIFIED,
        types_pb2.STRATEGY_MCTS,
        types_pb2.STRATEGY_STEP_BEAM,
    )


def training_tokens(
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

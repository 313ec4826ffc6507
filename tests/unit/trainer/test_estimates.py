"""How long a run may take: what trains is told apart, and epochs count."""

from __future__ import annotations

import pytest

from rstar.v1 import evolution_pb2, types_pb2
from rstar_trainer.evolution.estimate import (
    EXAMPLES_A_TRAJECTORY,
    LENGTH_SHARE,
    STEP_LENGTH_SHARE,
    TREE_GUESS,
    UNSOLVED_GUESS,
    plan_rounds,
)
from rstar_trainer.evolution.progress import part_of_phase, phase_name, progress, seconds_left
from rstar_trainer.policy_job import MOST_VARIANTS
from rstar_trainer.spec import POLICY_TRAINING, PPM_TRAINING

PHASES = evolution_pb2.RoundPhase
POOL = {"train": 100}


def recipe(*, rounds: int = 1) -> evolution_pb2.Recipe:
    """Rounds that train 3 tokens of a policy for each token of a PPM, at one token a second."""
    made = evolution_pb2.Recipe()
    made.resources.training_tokens_per_second = 1
    for _ in range(rounds):
        round_ = made.rounds.add()
        round_.policy.training.max_steps, round_.policy.training.batch_tokens = 30, 100
        round_.ppm.training.max_steps, round_.ppm.training.batch_tokens = 10, 100
    return made


def training_seconds(made: evolution_pb2.Recipe) -> list[float]:
    return [one.training_seconds for one in plan_rounds(made, POOL, {})]


def run_in(
    made: evolution_pb2.Recipe, phase: evolution_pb2.RoundPhase.ValueType, **seconds: float
) -> evolution_pb2.Run:
    """A run whose first round is in `phase`, and took so long for the phases before."""
    run = evolution_pb2.Run(recipe=made)
    report = run.rounds.add(phase=phase)
    report.seconds.update({name.replace("_", " "): value for name, value in seconds.items()})
    return run


def test_a_ppm_is_still_to_be_trained_when_its_policy_is_done():
    made = recipe()
    plan = plan_rounds(made, {}, {})
    run = run_in(made, PHASES.ROUND_PHASE_TRAINING_PPM, training_policy=3000.0)
    assert seconds_left(plan, run, 0.0) == pytest.approx(1000)
    assert seconds_left(plan, run, 0.75) == pytest.approx(250)
    assert progress(plan, run, 0.0) == pytest.approx(0.75)


def test_a_policy_that_took_twice_as_long_as_planned_lets_its_ppm_take_as_much():
    made = recipe()
    run = run_in(made, PHASES.ROUND_PHASE_TRAINING_PPM, training_policy=6000.0)
    assert seconds_left(plan_rounds(made, {}, {}), run, 0.0) == pytest.approx(2000)


def test_a_round_that_trains_one_model_spends_all_its_training_on_it():
    made = recipe()
    made.rounds[0].ClearField("policy")
    run = run_in(made, PHASES.ROUND_PHASE_TRAINING_PPM, training_policy=0.0)
    plan = plan_rounds(made, {}, {})
    assert seconds_left(plan, run, 0.0) == pytest.approx(1000)
    assert progress(plan, run, 0.5) == pytest.approx(0.5)


def test_nothing_is_left_of_training_when_both_models_are_done():
    made = recipe()
    run = run_in(made, PHASES.ROUND_PHASE_EVALUATING, training_policy=3000.0, training_ppm=1000.0)
    assert phase_name(PHASES.ROUND_PHASE_TRAINING_PPM) in run.rounds[0].seconds
    assert seconds_left(plan_rounds(made, {}, {}), run, 0.0) == pytest.approx(0)


def test_training_takes_as_long_as_its_epochs_where_no_number_of_steps_is_given():
    once, twice = recipe(), recipe()
    for made, epochs in ((once, 3.0), (twice, 6.0)):
        for training in (made.rounds[0].policy.training, made.rounds[0].ppm.training):
            training.ClearField("max_steps")
            training.epochs = epochs
    [first], [second] = training_seconds(once), training_seconds(twice)
    policy = 3 * 2 * 100 * EXAMPLES_A_TRAJECTORY * POLICY_TRAINING.max_length * LENGTH_SHARE
    ppm = 3 * 100 * PPM_TRAINING.max_length * LENGTH_SHARE
    assert first == pytest.approx(policy + ppm)
    assert second == pytest.approx(2 * first)


def test_a_number_of_steps_wins_over_epochs():
    made = recipe()
    made.rounds[0].policy.training.epochs = made.rounds[0].ppm.training.epochs = 9.0
    assert training_seconds(made) == [4000]


def one_epoch_of(model: str, *, rounds: int) -> evolution_pb2.Recipe:
    """Every round trains just this model, for one epoch."""
    made = recipe(rounds=rounds)
    for round_ in made.rounds:
        round_.ClearField("ppm" if model == "policy" else "policy")
        training = getattr(round_, model).training
        training.ClearField("max_steps")
        training.epochs = 1.0
    return made


def test_epochs_are_of_what_all_rounds_a_round_learns_from_have_searched():
    made = one_epoch_of("policy", rounds=3)
    made.rounds[2].learn_from_rounds = 1
    first, second, third = training_seconds(made)
    assert (second, third) == pytest.approx((2 * first, first))


def test_variants_and_the_rounds_of_a_ppm_are_counted():
    made = one_epoch_of("ppm", rounds=2)
    made.rounds[1].ppm_learn_from_rounds = 1
    first, second = training_seconds(made)
    assert second == pytest.approx(first, rel=0.01)
    made.rounds[1].ppm.variants = 4
    assert training_seconds(made)[1] == pytest.approx(5 * first, rel=0.01)


def test_weights_to_start_from_are_taught_no_variants():
    made = recipe()
    made.rounds[0].ClearField("ppm")
    made.rounds[0].policy.training.ClearField("max_steps")
    made.rounds[0].policy.training.epochs = 1.0
    [random] = training_seconds(made)
    made.rounds[0].policy.base = "some-policy"
    [based] = training_seconds(made)
    assert random == pytest.approx(EXAMPLES_A_TRAJECTORY * based, rel=0.01)
    assert EXAMPLES_A_TRAJECTORY == MOST_VARIANTS + 1


def test_trees_whose_number_nobody_knows_take_what_is_enough_for_the_model():
    made = recipe()
    made.rounds[0].ClearField("ppm")
    made.rounds[0].batch_ids.append("given")
    made.rounds[0].policy.training.ClearField("max_steps")
    assert training_seconds(made) == [POLICY_TRAINING.enough_tokens]


def test_extra_rollouts_are_for_what_is_unsolved():
    made = evolution_pb2.Recipe()
    made.rounds.add().search.rollouts = 8
    [plain] = plan_rounds(made, POOL, {})
    made.rounds[0].search.extra_rollouts.extend([8, 16])
    [more] = plan_rounds(made, POOL, {})
    assert more.rollouts == 4 * plain.rollouts  # at most
    share = 1 + 3 * UNSOLVED_GUESS
    assert more.search_seconds == pytest.approx(share * plain.search_seconds)
    assert more.search_tokens == pytest.approx(share * plain.search_tokens, rel=1e-3)


def test_the_time_left_does_not_jump_between_evaluations_of_unlike_size():
    made = evolution_pb2.Recipe()
    for name in ("large", "small"):
        made.rounds.add().evaluations.add(name=name, set=name).search.rollouts = 8
    made.rounds[0].evaluations.add(name="small", set="small").search.rollouts = 8
    plan = plan_rounds(made, {}, {"large": 90, "small": 10})
    seconds = plan[0].evaluation_seconds
    assert list(plan[0].each_evaluation_seconds) == pytest.approx([0.9 * seconds, 0.1 * seconds])
    run = run_in(made, PHASES.ROUND_PHASE_EVALUATING)
    for number, within in ((0, 0.2), (0, 0.5), (0, 0.999), (1, 0.001), (1, 0.8)):
        begins, part = part_of_phase(plan[0].each_evaluation_seconds, number)
        share = begins + part * within
        run.rounds[0].phase_seconds = (
            2 * seconds * (0.9 * within if not number else 0.9 + 0.1 * within)
        )
        left = seconds_left(plan, run, share)
        assert left == pytest.approx(2 * (seconds * (1 - share) + plan[1].evaluation_seconds))


def test_parts_of_which_nothing_is_known_are_equal():
    assert part_of_phase([0.0, 0.0], 1) == (0.5, 0.5)
    assert part_of_phase([], 0) == (0, 1)


def test_the_initial_weights_take_no_training():
    made = recipe()
    made.rounds[0].ClearField("ppm")
    made.rounds[0].policy.training.untrained = True
    assert training_seconds(made) == [0]


def searching_run(*, share_done: float, seconds: float) -> tuple[evolution_pb2.Recipe, float]:
    """Ten seconds of searching a round are planned; what is left after `seconds` of the first."""
    made = recipe(rounds=2)
    made.resources.sandbox_runs_per_second = 20
    for round_ in made.rounds:
        round_.problems, round_.search.rollouts = 100, 1
        round_.search.strategy = types_pb2.STRATEGY_MAJORITY
        round_.bootstrap = True
    plan = plan_rounds(made, POOL, {})
    assert [one.search_seconds for one in plan] == pytest.approx([10, 10])
    run = evolution_pb2.Run(recipe=made)
    run.rounds.add(phase=PHASES.ROUND_PHASE_SEARCHING, phase_seconds=seconds)
    left = seconds_left(plan, run, share_done)
    return made, left - sum(one.training_seconds for one in plan)


def test_searches_that_are_slower_than_planned_are_expected_to_stay_so():
    _, left = searching_run(share_done=0.5, seconds=15)
    assert left == pytest.approx(3 * 15)  # three times as slow; training is as it was planned


def test_the_first_moment_of_a_phase_says_nothing():
    _, left = searching_run(share_done=0.01, seconds=15)
    assert left == pytest.approx(9.9 + 10)


def test_a_tree_is_not_expected_to_run_its_ceiling():
    made = recipe()
    made.resources.sandbox_runs_per_second = 1
    made.rounds[0].problems, made.rounds[0].search.rollouts = 1, 8
    made.rounds[0].search.candidates, made.rounds[0].bootstrap = 4, True
    [planned] = plan_rounds(made, POOL, {})
    assert planned.sandbox_runs == 8 * 4 * 2
    assert planned.search_seconds == pytest.approx(TREE_GUESS * planned.sandbox_runs)


def test_generated_tokens_take_time_beside_the_programs_and_random_programs_are_none():
    made = recipe(rounds=2)
    made.resources.sandbox_runs_per_second, made.resources.generated_tokens_per_second = 1, 10
    for round_ in made.rounds:
        round_.problems, round_.search.rollouts, round_.search.max_step_tokens = 1, 3, 100
        round_.search.strategy = types_pb2.STRATEGY_MAJORITY
    made.rounds[0].bootstrap = True
    random, own = plan_rounds(made, POOL, {})
    assert (random.search_tokens, random.search_seconds) == (0, random.sandbox_runs)
    assert own.search_tokens == STEP_LENGTH_SHARE * 100 * own.sandbox_runs
    assert own.search_seconds == own.sandbox_runs + own.search_tokens / 10


def test_a_phase_in_which_the_system_stood_still_is_forgotten_after_two_more():
    made = recipe(rounds=4)
    run = evolution_pb2.Run(recipe=made)
    for seconds in (300_000.0, 3000.0, 3000.0):
        report = run.rounds.add(phase=PHASES.ROUND_PHASE_DONE)
        report.seconds.update({"training policy": seconds, "training ppm": seconds / 3})
    plan = plan_rounds(made, {}, {})
    assert seconds_left(plan, run, 0.0) == pytest.approx(4000)


def test_random_programs_of_a_second_search_generate_no_tokens():
    made = recipe()
    made.rounds[0].search.rollouts = 8
    tokens = plan_rounds(made, POOL, {})[0].search_tokens
    made.rounds[0].second_search.strategy = types_pb2.STRATEGY_BEST_OF_N
    with_policy = plan_rounds(made, POOL, {})[0]
    made.rounds[0].second_bootstrap = True
    by_random = plan_rounds(made, POOL, {})[0]
    assert with_policy.search_tokens > tokens == by_random.search_tokens
    assert with_policy.sandbox_runs == by_random.sandbox_runs

"""What a branch takes over from another run, and what it refuses to."""

from __future__ import annotations

import pytest

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.errors import InvalidInput
from rstar_trainer.evolution.branching import begin_branch, still_planned

PHASES = evolution_pb2.RoundPhase


def recipe() -> evolution_pb2.Recipe:
    made = evolution_pb2.Recipe(name="r", seed=3)
    made.evaluation_sets.add(name="held", problems_key="held.jsonl")
    for number in range(3):
        round_ = made.rounds.add(bootstrap=number == 0, problems=10)
        round_.search.rollouts = 8
        round_.policy.training.max_steps = 5
    return made


def source() -> evolution_pb2.Run:
    """A run that has done two rounds and trains in the third."""
    run = evolution_pb2.Run(run_id="s", recipe=recipe(), ppm_before="ppm-before")
    for number in range(3):
        report = run.rounds.add(
            round=number,
            phase=PHASES.ROUND_PHASE_DONE,
            batch_id=f"s/r{number}/search",
            second_batch_id=f"s/r{number}/second",
            second_policy="bootstrap",
            problems=10,
            solved=7,
            policy_job=f"s-r{number}-policy",
            policy_version=f"policy-{number}",
            ppm_version=f"ppm-{number}",
            promoted=number == 0,
        )
        report.seconds.update({"searching": 60.0, "training policy": 9.0})
        report.evaluations.add(name="greedy")
    run.rounds[2].phase = PHASES.ROUND_PHASE_TRAINING_PPM
    return run


def begun(round_: int, changed: evolution_pb2.Recipe | None = None) -> evolution_pb2.Run:
    run = evolution_pb2.Run(run_id="b", recipe=changed or recipe())
    begin_branch(run, source(), round_)
    return run


def test_it_takes_finished_rounds_whole_and_of_the_last_its_searches():
    run = begun(2)
    assert list(run.rounds[:2]) == list(source().rounds[:2])
    last = run.rounds[2]
    assert (last.batch_id, last.problems) == ("s/r2/search", 10)
    assert (last.second_batch_id, last.second_policy) == ("s/r2/second", "bootstrap")
    assert (last.policy_job, last.policy_version, last.promoted) == ("", "", False)
    assert not last.evaluations
    assert dict(last.seconds) == {"preparing": 0.0, "searching": 60.0}
    assert last.phase == PHASES.ROUND_PHASE_SEARCHING


def test_its_best_models_are_the_last_that_were_promoted():
    run = begun(2)
    assert (run.policy_version, run.ppm_version) == ("policy-0", "ppm-0")
    assert (begun(0).policy_version, begun(0).ppm_version) == ("", "")
    assert not run.ppm_before, "what is served when it begins is not what was then"


def test_training_may_differ_from_the_branch_on():
    changed = recipe()
    changed.rounds[1].policy.training.max_steps = 50
    assert begun(1, changed).recipe == changed


def other_search(made: evolution_pb2.Recipe) -> None:
    made.rounds[1].search.rollouts = 9


def other_second(made: evolution_pb2.Recipe) -> None:
    made.rounds[1].second_search.strategy = types_pb2.STRATEGY_MCTS


def other_second_searcher(made: evolution_pb2.Recipe) -> None:
    made.rounds[1].second_bootstrap = True


def other_training_before(made: evolution_pb2.Recipe) -> None:
    made.rounds[0].policy.training.max_steps = 50


def other_seed(made: evolution_pb2.Recipe) -> None:
    made.seed = 4


def other_set(made: evolution_pb2.Recipe) -> None:
    made.evaluation_sets[0].problems_key = "other.jsonl"


def given_trees(made: evolution_pb2.Recipe) -> None:
    made.rounds[1].batch_ids.append("given")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (other_search, "rounds[1].search"),
        (other_second, "rounds[1].second_search"),
        (other_second_searcher, "rounds[1].second_bootstrap"),
        (other_training_before, "rounds[0]"),
        (other_seed, "seed"),
        (other_set, "evaluation_sets"),
        (given_trees, "rounds[1].batch_ids"),
    ],
)
def test_what_was_done_must_be_what_is_asked_for(change, field):
    changed = recipe()
    change(changed)
    with pytest.raises(InvalidInput) as refused:
        begun(1, changed)
    assert refused.value.field == field


def test_a_round_that_was_not_searched_is_no_place_to_branch():
    early = source()
    early.rounds[2].phase = PHASES.ROUND_PHASE_SEARCHING
    for run_id, round_, field in (
        ("b", 2, "branch.round"),
        ("b", 3, "branch.round"),
        ("s", 1, "branch.run_id"),
    ):
        with pytest.raises(InvalidInput) as refused:
            begin_branch(evolution_pb2.Run(run_id=run_id, recipe=recipe()), early, round_)
        assert refused.value.field == field


def test_a_plan_leaves_out_what_is_taken_over():
    plan = [
        evolution_pb2.PlannedRound(
            round=number,
            problems=10,
            search_seconds=60,
            training_seconds=5,
            search_tokens=7,
            evaluation_tokens=8,
        )
        for number in range(3)
    ]
    left = still_planned(plan, begun(1))
    assert [one.round for one in left] == [1, 2]
    assert (left[0].problems, left[0].search_seconds, left[0].training_seconds) == (0, 0, 5)
    assert (left[0].search_tokens, left[0].evaluation_tokens) == (0, 8)
    assert left[1] == plan[2]
    assert still_planned(plan, evolution_pb2.Run()) == plan


def test_what_a_run_has_done_is_not_planned_when_it_goes_on():
    phases = evolution_pb2.RoundPhase
    plan = [
        evolution_pb2.PlannedRound(
            round=number, search_seconds=60, training_seconds=5, evaluation_seconds=3
        )
        for number in range(3)
    ]
    run = evolution_pb2.Run()
    run.rounds.add(round=0, phase=phases.ROUND_PHASE_DONE)
    run.rounds.add(round=1, phase=phases.ROUND_PHASE_TRAINING_PPM)

    def left() -> list[tuple[int, float, float, float]]:
        return [
            (one.round, one.search_seconds, one.training_seconds, one.evaluation_seconds)
            for one in still_planned(plan, run)
        ]

    assert left() == [(1, 0, 5, 3), (2, 60, 5, 3)]
    run.rounds[1].phase = phases.ROUND_PHASE_EVALUATING
    assert left() == [(1, 0, 0, 3), (2, 60, 5, 3)]
    run.rounds[1].phase = phases.ROUND_PHASE_DECIDING
    assert left() == [(1, 0, 0, 0), (2, 60, 5, 3)]
    run.rounds[1].phase = phases.ROUND_PHASE_DONE
    run.rounds.add(round=2, phase=phases.ROUND_PHASE_DONE)
    assert left() == []

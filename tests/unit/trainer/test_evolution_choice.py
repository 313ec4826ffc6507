"""Which problems a round searches, what it learns from, and when its models are kept."""

from __future__ import annotations

from rstar.v1 import evolution_pb2, types_pb2
from rstar_trainer.evolution.problems import PastResult, PoolProblem, choose
from rstar_trainer.evolution.rules import (
    batch_names,
    compared_batches,
    failed_gates,
    learned_batches,
    second_settings,
    seeded,
    unanswered,
)

PROBLEMS = [
    PoolProblem(
        pool="real" if number < 8 else "made",
        problem=types_pb2.Problem(problem_id=f"p{number}", question="?", reference="1"),
        synthetic=number >= 8,
    )
    for number in range(10)
]


ALL = [one.id for one in PROBLEMS]


def ids(round_: evolution_pb2.Round, past=None, excluded=()) -> list[str]:
    return [one.id for one in choose(round_, PROBLEMS, past or {}, excluded)]


def test_a_round_takes_problems_of_its_pools_at_equal_distances():
    assert ids(evolution_pb2.Round(pools=["real"], problems=4)) == ["p0", "p2", "p4", "p6"]
    assert len(ids(evolution_pb2.Round())) == 10


def test_problems_that_resemble_an_evaluation_problem_are_left_out():
    assert "p3" not in ids(evolution_pb2.Round(), excluded={"p3"})


def test_too_easy_problems_are_left_out():
    past = {"p0": PastResult(right=9, answered=10), "p1": PastResult(right=5, answered=10)}
    kept = ids(evolution_pb2.Round(too_easy_share=0.9), past)
    assert "p0" not in kept
    assert "p1" in kept


def test_unsolved_problems_are_no_more_than_their_share():
    past = {f"p{number}": PastResult(right=0, answered=8) for number in range(6)}
    kept = ids(evolution_pb2.Round(max_unsolved_share=0.2), past)
    assert [name for name in kept if name in past] == ["p0"]
    assert len(kept) == 5


def test_as_many_unsolved_problems_are_tried_again_as_their_share_allows():
    past = {f"p{number}": PastResult(right=0, answered=8) for number in range(6)}
    round_ = evolution_pb2.Round(problems=4, max_unsolved_share=0.5, prefer_new=True)
    assert ids(round_, past) == ["p6", "p8", "p0", "p3"]


def test_unsolved_problems_may_fill_a_round_and_nothing_is_searched_beyond_it():
    past = {f"p{number}": PastResult(right=0, answered=8) for number in range(6)}
    round_ = evolution_pb2.Round(problems=4, max_unsolved_share=1.0)
    assert ids(round_, past) == ["p0", "p1", "p3", "p4"]
    assert len(ids(round_, past | {name: PastResult(right=0, answered=1) for name in ALL})) == 4
    assert len(ids(evolution_pb2.Round(max_unsolved_share=1.0), past)) == 10


def test_problems_whose_right_answers_were_refused_count_as_unsolved():
    past = {f"p{number}": PastResult(right=number, answered=8) for number in range(6)}
    round_ = evolution_pb2.Round(problems=4, max_unsolved_share=0.5, prefer_new=True)
    kept = [one.id for one in choose(round_, PROBLEMS, past, (), ["p5", "p9"])]
    assert kept == ["p6", "p8", "p0", "p5"]  # p9 was not searched yet
    past["p5"] = PastResult(right=8, answered=8)  # as easy as it seems
    round_.too_easy_share = 0.9
    assert [one.id for one in choose(round_, PROBLEMS, past, (), ["p5"])] == kept


def test_a_synthetic_problem_whose_answer_is_mostly_called_wrong_is_dropped():
    past = {
        "p0": PastResult(right=1, answered=10),
        "p8": PastResult(right=4, answered=10),
        "p9": PastResult(right=5, answered=10),
    }
    kept = ids(evolution_pb2.Round(), past)
    assert "p8" not in kept
    assert {"p0", "p9"} <= set(kept)


def test_new_problems_come_first_where_that_is_asked_for():
    past = {f"p{number}": PastResult(right=1, answered=8) for number in range(7)}
    assert ids(evolution_pb2.Round(problems=4, prefer_new=True), past) == ["p7", "p8", "p9", "p0"]


def run_of(*accuracies: float, promoted: bool = True) -> evolution_pb2.Run:
    run = evolution_pb2.Run()
    for number, accuracy in enumerate(accuracies):
        run.recipe.rounds.add().evaluations.add(name="greedy", set="held")
        report = run.rounds.add(round=number, batch_id=f"b{number}", promoted=promoted)
        report.evaluations.add(name="greedy", accuracy=accuracy)
    return run


def gated(**gate: float) -> evolution_pb2.Round:
    round_ = evolution_pb2.Round()
    round_.evaluations.add(name="greedy", set="held")
    round_.gates.add(evaluation="greedy", **gate)
    return round_


def test_a_round_is_compared_with_the_last_that_was_measured_alike():
    run, round_ = run_of(0.8, 0.1, 0.7), gated(max_drop=0.01)
    assert failed_gates(run, gated(max_drop=0.7), run.rounds[2]) == []
    run.recipe.rounds[1].evaluations[0].set = "another"
    [reason] = failed_gates(run, round_, run.rounds[2])
    assert "below 0.790" in reason
    run.recipe.rounds[1].evaluations[0].set = "held"
    run.recipe.rounds[1].evaluations[0].search.seed = 7  # other samples of the same search
    assert failed_gates(run, round_, run.rounds[2]) == []
    run.recipe.rounds[1].evaluations[0].search.rollouts = 8
    assert failed_gates(run, round_, run.rounds[2]) == [reason]
    del run.rounds[1].evaluations[:]
    assert failed_gates(run, round_, run.rounds[2]) == [reason]
    run.rounds[0].promoted = False
    assert failed_gates(run, round_, run.rounds[2]) == []  # there is nothing it could fall from


def test_a_round_that_loses_too_much_is_not_promoted():
    round_ = gated(max_drop=0.1)
    assert not failed_gates(run_of(0.5, 0.41), round_, run_of(0.5, 0.41).rounds[1])
    [reason] = failed_gates(run_of(0.5, 0.3), round_, run_of(0.5, 0.3).rounds[1])
    assert "greedy: 0.300" in reason


def test_a_round_below_its_least_accuracy_is_not_promoted():
    round_ = gated(min_accuracy=0.6)
    assert failed_gates(run_of(0.5), round_, run_of(0.5).rounds[0])


def test_a_round_learns_from_as_many_rounds_as_it_says():
    run = run_of(0.1, 0.2, 0.3)
    assert learned_batches(run, evolution_pb2.Round(learn_from_rounds=1)) == ["b2"]
    assert learned_batches(run, evolution_pb2.Round()) == ["b0", "b1", "b2"]


def test_rounds_draw_different_samples_and_a_given_seed_stays():
    settings, recipe = types_pb2.SearchSettings(), evolution_pb2.Recipe(seed=1)
    assert seeded(settings, recipe, 0).seed != seeded(settings, recipe, 1).seed
    assert seeded(types_pb2.SearchSettings(seed=7), recipe, 1).seed == 7


def test_a_sequential_run_has_one_rollout_at_a_time_whatever_its_rounds_say():
    settings = types_pb2.SearchSettings(parallel_rollouts=4)
    assert seeded(settings, evolution_pb2.Recipe(), 0).parallel_rollouts == 4
    assert seeded(settings, evolution_pb2.Recipe(sequential=True), 0).parallel_rollouts == 1


def test_a_second_search_says_what_differs_and_draws_other_samples():
    recipe, round_ = evolution_pb2.Recipe(seed=1), evolution_pb2.Round()
    round_.search.rollouts, round_.search.candidates = 16, 8
    round_.search.extra_rollouts.append(16)
    round_.search.seed = 5
    round_.second_search.rollouts = 64
    second = second_settings(round_, recipe, 0)
    assert (second.rollouts, second.candidates, list(second.extra_rollouts)) == (64, 8, [])
    assert second.seed not in (5, seeded(types_pb2.SearchSettings(), recipe, 0).seed)


def test_a_run_that_goes_on_has_one_more_name_for_a_batch_that_may_have_been_cancelled():
    run = evolution_pb2.Run(run_id="a")
    run.rounds.add(round=2)
    assert batch_names(run, "search") == ["a/r2/search"]
    run.attempts = 2
    assert batch_names(run, "search") == ["a/r2/search", "a/r2/search-1", "a/r2/search-2"]


def test_an_arm_learns_from_the_trees_it_is_given_and_others_from_both_searches_of_their_rounds():
    run = evolution_pb2.Run()
    run.rounds.add(batch_id="one", second_batch_id="one-more")
    run.rounds.add(batch_id="")
    run.rounds.add(round=2, batch_id="two")
    arm = evolution_pb2.Round(batch_ids=["given"])
    assert learned_batches(run, arm) == ["given"]
    assert learned_batches(run, evolution_pb2.Round()) == ["one", "one-more", "two"]
    assert learned_batches(run, evolution_pb2.Round(learn_from_rounds=1)) == ["two"]


def test_a_ppm_does_not_learn_from_random_programs_where_a_policy_searched_too():
    run = evolution_pb2.Run()
    run.rounds.add(batch_id="0", second_batch_id="0-more")
    run.rounds.add(round=1, batch_id="1", second_batch_id="1-more", second_policy="bootstrap")
    every = evolution_pb2.Round()
    assert learned_batches(run, every) == ["0", "0-more", "1", "1-more"]
    assert compared_batches(run, every) == ["0", "0-more", "1"]


def test_a_ppm_may_learn_from_fewer_rounds_than_the_policy_and_does_not_from_more_unasked():
    run = evolution_pb2.Run()
    for number in range(3):
        run.rounds.add(round=number, batch_id=str(number))
    fewer = evolution_pb2.Round(ppm_learn_from_rounds=2)
    assert (learned_batches(run, fewer), compared_batches(run, fewer)) == (
        ["0", "1", "2"],
        ["1", "2"],
    )
    same = evolution_pb2.Round(learn_from_rounds=1)
    assert learned_batches(run, same) == compared_batches(run, same) == ["2"]
    assert compared_batches(run, evolution_pb2.Round()) == ["0", "1", "2"]
    assert compared_batches(run, evolution_pb2.Round(batch_ids=["given"])) == ["given"]


def test_a_problem_to_be_evaluated_carries_no_reference():
    assert PROBLEMS[0].problem.HasField("reference")
    assert not unanswered(PROBLEMS[0].problem).HasField("reference")

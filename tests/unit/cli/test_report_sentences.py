"""What a report says in words is what its figures say."""

from __future__ import annotations

from rstar.v1 import evolution_pb2
from rstar_cli.runpage.page import report_of
from rstar_cli.runpage.sentences import sentences


def gated(*accuracies, promoted=None):
    """A run whose rounds have one gate each, on `validation`."""
    run = evolution_pb2.Run(run_id="r")
    for number, accuracy in enumerate(accuracies):
        round_ = run.recipe.rounds.add()
        round_.evaluations.add(name="validation", set="seen")
        round_.gates.add(evaluation="validation", max_drop=0.03)
        round_.gates.add(evaluation="validation", min_accuracy=0.1)
        report = run.rounds.add(round=number, decision="so it was")
        report.promoted = promoted is None or promoted[number]
        report.evaluations.add(
            name="validation", problems=280, accuracy=accuracy, half_interval=0.04
        )
    return run


def test_a_round_says_by_how_much_its_gate_changed_with_both_intervals():
    assert sentences(gated(0.5, 0.75)) == [
        "Round 1, validation: 0.750 ± 0.040 (n = 280), +0.250 from 0.500 ± 0.040 (n = 280) in "
        "round 0."
    ]


def test_a_drop_that_the_gate_let_through_is_called_no_improvement():
    [said] = sentences(gated(0.889, 0.868))
    assert said.endswith(
        "-0.021 from 0.889 ± 0.040 (n = 280) in round 0: not an improvement, "
        "though the gate let it stay."
    )


def test_what_was_searched_otherwise_is_not_compared():
    run = gated(0.9, 0.8)
    run.recipe.rounds[0].evaluations[0].search.temperature = 0.5
    assert sentences(run) == []


def test_models_that_did_not_stay_are_not_what_the_next_round_is_compared_with():
    first, second = sentences(gated(0.8, 0.6, 0.7, promoted=(True, False, True)))
    assert first.endswith("in round 0: its models did not stay.")
    assert "Round 2, validation: 0.700 ± 0.040 (n = 280), -0.100 from 0.800" in second
    assert "not an improvement" in second


def test_nothing_is_said_of_gates_before_they_decide():
    run = gated(0.8, 0.6, promoted=(True, False))
    run.rounds[1].decision = ""
    [said] = sentences(run)
    assert said.endswith("in round 0.")


def test_other_problems_and_other_evaluations_are_no_comparison():
    run = gated(0.5, 0.75)
    run.recipe.rounds[0].evaluations[0].set = "other"
    assert sentences(run) == []
    run = gated(0.5, 0.75)
    del run.recipe.rounds[1].gates[:]
    assert sentences(run) == []


def searched(*rounds):
    run = evolution_pb2.Run(run_id="r")
    for number, (bootstrap, shares) in enumerate(rounds):
        run.recipe.rounds.add(bootstrap=bootstrap)
        run.rounds.add(round=number).solved_by_label.update(shares)
    return run


def test_what_random_programs_solved_least_is_named_with_its_share():
    shares = {"a": 0.9, "b": 0.8, "c": 0.33, "d": 0.7, "e": 0.6, "f": 0.5, "g": 1.0}
    said = sentences(searched((True, shares), (False, {"g": 0.0, "c": 0.1})))
    assert said == [
        "Every module was solved by the search of some round.",
        "Solved least by random programs searching alone: c 0.33, f 0.50, e 0.60, d 0.70, b 0.80.",
    ]


def test_every_module_that_random_programs_did_not_reach_is_named():
    shares = dict.fromkeys("abcdefg", 0.0) | {"h": 0.5}
    said = sentences(searched((True, shares), (False, {"a": 0.5})))
    assert said[0] == "Never solved by the search of any round: b, c, d, e, f, g."
    named = ", ".join(f"{label} 0.00" for label in "abcdefg")
    assert said[1] == f"Solved least by random programs searching alone: {named}."


def test_nothing_is_said_of_random_programs_where_none_searched_alone():
    assert len(sentences(searched((False, {"a": 0.5})))) == 1


def test_modules_without_a_right_answer_are_named_for_each_evaluation():
    run = evolution_pb2.Run(run_id="r")
    for number in range(2):
        asked = run.recipe.rounds.add().evaluations
        asked.add(name="greedy", set="few" if number else "all")
        asked.add(name="search8", set="few")
        made = run.rounds.add(round=number).evaluations
        made.add(
            name="greedy",
            problems=10 if number else 120,
            by_label={"adding": 0.5, "sorting": 0.0, "dividing": 0.0 if number else 0.1},
        )
        made.add(name="search8", problems=10, by_label={"adding": 0.5, "sorting": 0.1 * number})
    assert sentences(run) == [
        "No right answer in greedy of round 0 (120 problems, 40 a module): sorting.",
        "No right answer in greedy of round 1 (10 problems, 3.33 a module): dividing, sorting.",
        "A right answer in every module: search8 of round 1.",
    ]


def test_the_page_and_the_markdown_say_them_line_by_line():
    made = report_of(gated(0.5, 0.75, 0.7), {})
    assert made.markdown.count("\n- Round ") == 2
    assert made.html.count("<li>Round ") == 2
    assert "In words" not in report_of(gated(0.5), {}).markdown

"""Shares, what k tries would have solved, and the figures made of them."""

from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rstar.v1 import searcher_pb2, tree_pb2, types_pb2
from rstar_cli.evaluation.arms import arm_of, greedy_arm, sampling_arm, step_beam_arm
from rstar_cli.evaluation.baselines import equal_size
from rstar_cli.evaluation.comparison import compared
from rstar_cli.evaluation.estimators import mean, paired_difference, pass_at_k, wilson
from rstar_cli.evaluation.plot import points, svg
from rstar_cli.evaluation.record import Record, Try, dead_record, record_of
from rstar_cli.evaluation.report import markdown
from rstar_cli.evaluation.summary import summary_of
from rstar_cli.views.evaluation import evaluation_notes, evaluation_table
from rstar_common.errors import InvalidInput, Unavailable

ASKED = {"set": "toy", "equal_tokens": [], "versions": {"policy": ["p"]}, "served": {}}


def test_wilson_is_the_textbook_interval():
    # Wald would say 0.0 to 0.0 for 0 of 10; Wilson's table says 0.2775.
    assert wilson(0, 10).low == 0.0
    assert wilson(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    share = wilson(81, 263)
    assert (share.low, share.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


@given(st.integers(0, 200), st.integers(0, 200))
def test_an_interval_holds_its_estimate_and_lies_in_the_unit(right, wrong):
    share = wilson(right, right + wrong)
    assert 0 <= share.low <= share.value <= share.high <= 1 or not right + wrong


@pytest.mark.parametrize(("tries", "right", "k"), [(6, 2, 1), (6, 2, 3), (5, 4, 2), (4, 0, 2)])
def test_pass_at_k_is_the_mean_over_every_choice_of_k_tries(tries, right, k):
    draws = list(itertools.combinations([True] * right + [False] * (tries - right), k))
    assert pass_at_k(tries, right, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_with_fewer_tries_than_k_any_right_one_counts():
    assert pass_at_k(2, 1, 8) == 1.0
    assert pass_at_k(0, 0, 8) == 0.0


def test_the_mean_of_equal_values_is_certain():
    assert mean([0.5] * 9).low == mean([0.5] * 9).high == 0.5


def test_merged_samples_count_as_often_as_they_were_drawn_and_rules_choose_as_the_searcher_says():
    tree = tree_pb2.Tree()
    for node_id, copies in ((1, 3), (2, 1), (3, 2)):
        tree.nodes.add(id=node_id, multiplicity=copies)
    for node_id, answer, score in ((2, "7", 0.9), (1, "5", 0.4), (3, "7", -0.2)):
        tree.result.trajectories.add(node_ids=[node_id], answer=answer, ppm_score=score)
    item = searcher_pb2.BatchResult(problem_id="p", labels={"level": "2"})
    item.result.status = tree_pb2.SEARCH_STATUS_ANSWERED
    item.result.answer = "7"
    item.result.choices.add(rule=types_pb2.ANSWER_SELECTION_WEIGHTED_MAJORITY, answer="5")
    record = record_of(item, tree)
    assert [(one.answer, one.count, one.score) for one in record.tries] == [
        ("7", 3, pytest.approx(0.9)),
        ("5", 3, pytest.approx(0.4)),
    ]
    assert record.choices == {"weighted_majority": "5"}
    assert record.finished_tries == 6
    assert Record.from_json(record.to_json()) == record


def test_a_searcher_that_does_not_say_what_rules_choose_is_not_taken_for_wrong():
    item = searcher_pb2.BatchResult(problem_id="p")
    item.result.status, item.result.answer = tree_pb2.SEARCH_STATUS_ANSWERED, "7"
    with pytest.raises(Unavailable, match="older release"):
        record_of(item, tree_pb2.Tree())
    item.result.settings.strategy = types_pb2.STRATEGY_GREEDY  # of which there is one answer
    assert record_of(item, tree_pb2.Tree()).answer == "7"


def test_a_rule_of_a_later_release_has_a_name_of_its_own():
    item = searcher_pb2.BatchResult(problem_id="p")
    item.result.status, item.result.answer = tree_pb2.SEARCH_STATUS_ANSWERED, "7"
    item.result.choices.add(rule=9, answer="8")
    assert record_of(item, tree_pb2.Tree()).choices == {"rule_9": "8"}


def test_figures_of_an_arm_are_counted_by_hand():
    arm = arm_of(types_pb2.SearchSettings(strategy=types_pb2.STRATEGY_BEST_OF_N), 4)
    records = [
        record("a", answer="1", majority="2", tries=[("1", 1, 0.9), ("2", 2, 0.1)], level="easy"),
        record("b", answer="3", tries=[("3", 4, 0.5)], level="easy"),
        record("c", answer="9", tries=[("9", 2, 0.5)], level="hard"),
        dead_record("d", {"level": "hard"}),
    ]
    verdicts = {
        ("a", "1"): "equal",
        ("a", "2"): "unequal",
        ("b", "3"): "equal",
        ("c", "9"): "undecided",
    }
    summary = summary_of(arm, records, verdicts)
    assert (summary["problems"], summary["dead"], summary["undecided"]) == (4, 1, 1)
    accuracy = summary["accuracy"]
    assert accuracy["selected"]["right"] == 2
    assert accuracy["majority"]["right"] == 1
    assert accuracy["best_ppm"]["right"] == 2
    # 1 of 4 samples of a was right, and a fourth one came to nothing; all 4 of b.
    assert summary["pass_at"]["1"]["value"] == pytest.approx((0.25 + 1 + 0 + 0) / 4)
    assert summary["pass_at"]["4"]["value"] == pytest.approx(0.5)
    # Of a's two answers the right one is liked better; c's undecided one is no pair's.
    assert summary["ppm_pairs"] == {"pairs": 1, "right_preferred": 1}
    assert summary["ended_by"] == {"": 1, "ROLLOUTS": 3}
    assert summary["generated_tokens"] == 300
    assert summary["cost_a_problem"]["generated_tokens"] == 75
    assert summary["wall_seconds"] == 5.0
    by = summary["by"]["level"]
    assert (by["easy"]["right"], by["easy"]["problems"], by["hard"]["right"]) == (2, 2, 0)


def test_of_a_search_whose_tree_is_gone_the_answers_count_and_the_tries_are_not_known():
    item = searcher_pb2.BatchResult(problem_id="b")
    item.result.status, item.result.answer = tree_pb2.SEARCH_STATUS_ANSWERED, "7"
    item.result.choices.add(rule=types_pb2.ANSWER_SELECTION_MAJORITY, answer="5")
    item.finished_at.seconds, item.result.cost.wall_seconds = 105, 5.0
    gone = record_of(item, None)
    assert (gone.started, gone.finished) == (100.0, 105.0)
    assert (gone.tree_gone, gone.tries, gone.answers) == (True, (), ["7", "5"])
    assert Record.from_json(gone.to_json()) == gone
    arm = arm_of(types_pb2.SearchSettings(), 1)
    whole = record("a", answer="1", tries=[("1", 1, 0.5)])
    verdicts = {("a", "1"): "equal", ("b", "7"): "equal", ("b", "5"): "unequal"}
    summary = summary_of(arm, [whole, gone], verdicts)
    assert summary["trees_gone"] == 1
    assert summary["accuracy"]["selected"]["right"] == 2
    assert summary["pass_at"]["1"]["value"] == 1.0
    text = markdown("run", ASKED, [summary])
    assert "`mcts-1`: the trees of 1 of 2 searches were no longer kept" in text
    [note] = evaluation_notes({**ASKED, "results": [summary]})
    assert note in text
    summary = summary_of(arm, [gone], verdicts)
    assert summary["pass_at"] == {}
    text = markdown("run", ASKED, [summary])
    assert "| mcts-1 | selected | 100.0 (20.6 to 100.0) | - | - | 1 |" in text
    assert evaluation_table({**ASKED, "results": [summary]}).row_count == 2


def test_a_greedy_answer_needs_no_tree():
    item = searcher_pb2.BatchResult(problem_id="p")
    item.result.settings.strategy = types_pb2.STRATEGY_GREEDY
    assert record_of(item, None).tries == ()
    item.result.status, item.result.answer = tree_pb2.SEARCH_STATUS_ANSWERED, "7"
    greedy = record_of(item, None)
    assert (greedy.tries, greedy.tree_gone) == ((Try(answer="7", count=1, score=None),), False)


def test_a_number_of_trajectories_is_what_the_strategy_calls_it():
    settings = types_pb2.SearchSettings(rollouts=8)
    assert arm_of(settings, 16).settings.trees == 16
    assert arm_of(settings, 16).settings.rollouts == 8
    settings.strategy = types_pb2.STRATEGY_MAJORITY
    assert arm_of(settings, 16).settings.rollouts == 16
    assert not arm_of(settings, 16).settings.HasField("trees")
    with pytest.raises(InvalidInput, match="1 to 128"):
        arm_of(types_pb2.SearchSettings(), 200)


def test_a_baseline_is_given_the_tokens_of_the_search():
    assert equal_size({8: 400.0}, 1000) == 20
    assert equal_size({8: 400.0, 20: 1100.0}, 1000) == 18  # by the nearer of the two
    assert equal_size({8: 400.0}, 3) == 1
    assert equal_size({8: 1.0}, 10**9) == 1024
    assert equal_size({8: 0.0}, 5) == 1


def test_a_baseline_keeps_what_is_not_the_trees_own():
    searched = arm_of(types_pb2.SearchSettings(rollouts=8, candidates=4, temperature=0.7), 2)
    samples, beam = sampling_arm(searched, 20), step_beam_arm(searched, 3)
    greedy = greedy_arm(searched.settings)
    assert samples.settings.strategy == types_pb2.STRATEGY_BEST_OF_N
    assert (samples.settings.rollouts, samples.samples, searched.samples) == (20, 20, 0)
    assert (beam.settings.rollouts, beam.settings.candidates, beam.samples) == (3, 4, 0)
    assert greedy.settings.strategy == types_pb2.STRATEGY_GREEDY
    for arm in (samples, beam, greedy):
        assert arm.settings.temperature == pytest.approx(0.7)
        assert not arm.settings.HasField("trees")
    assert {samples.baseline_of, beam.baseline_of} == {searched.name}


def test_a_paired_difference_knows_only_the_problems_that_differ():
    # Wald on 40 pairs, 9 gained and 2 lost, one added to each (Bonett and Price, 2012).
    one = [True] * 9 + [False] * 2 + [True] * 29
    other = [False] * 9 + [True] * 2 + [True] * 29
    difference = paired_difference(one, other)
    assert difference.value == pytest.approx(7 / 40)
    p, q = 10 / 42, 3 / 42
    half = 1.96 * math.sqrt((p + q - (p - q) ** 2) / 42)
    assert (difference.low, difference.high) == pytest.approx(
        (p - q - half, p - q + half), abs=1e-5
    )
    assert paired_difference([True] * 5, [True] * 5).low < 0 < paired_difference([], []).high


def test_the_table_at_equal_tokens_has_every_strategy_and_reads_samples_twice():
    tree = arm_of(types_pb2.SearchSettings(rollouts=8, candidates=4), 1)
    greedy, samples, beam = (
        greedy_arm(tree.settings),
        sampling_arm(tree, 3),
        step_beam_arm(tree, 2),
    )
    wrong = record("b", answer="9", tries=[("9", 1, 0.5)])
    found = [
        (tree, [record("a", answer="1", tries=[("1", 1, 0.9)]), wrong]),
        (greedy, [record("a", answer="2", tries=[("2", 1, None)]), wrong]),
        (
            samples,
            [record("a", answer="2", majority="1", tries=[("2", 1, 0.9), ("1", 2, 0.1)]), wrong],
        ),
        (beam, [record("a", answer="1", tries=[("1", 1, 0.9)]), wrong]),
    ]
    [table] = compared(found, {("a", "1"): "equal"})
    right = {row["strategy"]: row["right"] for row in table["rows"]}
    assert right == {
        "greedy": 0,
        "majority": 1,
        "weighted majority": 0,
        "best-of-n": 0,
        "step-beam": 1,
        "mcts, majority": 1,
        "mcts, weighted majority": 1,
        "mcts, best PPM": 1,
        "mcts": 1,
    }
    rows = {row["strategy"]: row for row in table["rows"]}
    assert rows["best-of-n"]["against_tree"]["value"] == -0.5
    assert rows["best-of-n"]["holds_right"]["value"] == 0.5
    assert rows["majority"]["tokens_of_tree"] == 1.0
    arms = [summary_of(arm, records, {}) for arm, records in found]
    for arm in arms:
        arm["token_ratio"] = 1.0
    text = markdown("run", {**ASKED, "equal_tokens": [table]}, arms)
    assert "| best-of-n | 3 | 0.0 (0.0 to 65.8) | -50.0 (" in text
    assert {point.series.partition(",")[0] for point in points(arms)} == {
        "mcts",
        "greedy",
        "sampling",
        "step-beam",
    }
    assert compared(found[:1], {}) == []


def test_report_and_terminal_name_the_models_that_answered():
    arm = arm_of(types_pb2.SearchSettings(), 1)
    summary = summary_of(arm, [record("a", answer="1", tries=[("1", 1, None)])], {})
    answered = {"policy": ["policy-a"], "ppm": ["ppm-a"], "sandbox": ["s"]}
    asked = {**ASKED, "versions": answered, "served": {"policy": ["policy-a"], "ppm": ["ppm-a"]}}
    assert "1 problems of toy, answered by policy policy-a, PPM ppm-a." in markdown(
        "run", asked, [summary]
    )
    shown = {**asked, "results": [summary]}
    assert str(evaluation_table(shown).caption) == "answered by policy policy-a, PPM ppm-a"
    assert evaluation_notes(shown) == []
    asked["served"] = {"policy": ["policy-b"], "ppm": ["ppm-a"]}
    [note] = evaluation_notes({**shown, **asked})
    assert note.startswith("These are the figures of policy policy-a, PPM ppm-a. Served when")
    assert "policy policy-b, PPM ppm-a; to measure that, choose another --name." in note
    assert note in markdown("run", asked, [summary])


def test_report_and_figure_show_hostile_names_as_text():
    arm = arm_of(types_pb2.SearchSettings(), 1)
    records = [
        record("a", answer="1", tries=[("1", 1, None)], subject="<script>|x"),
        record("b", answer="1", tries=[("1", 1, None)], subject="plain"),
    ]
    summary = summary_of(arm, records, {})
    text = markdown("run", ASKED, [summary])
    assert "&lt;script>\\|x" in text
    assert "<script>" not in text
    drawn = points([summary])
    assert {point.series for point in drawn} == {
        f"mcts, {rule}" for rule in ("selected", "majority", "weighted majority", "best ppm")
    }
    root = ElementTree.fromstring(svg("<run> & co", drawn))
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "<run> & co"
    assert not math.isnan(float(root.find(".//{*}circle").get("cx")))


def record(problem_id, *, answer, tries, majority="", **labels):
    return Record(
        problem_id=problem_id,
        status="ANSWERED",
        ended_by="ROLLOUTS",
        answer=answer,
        choices={
            "majority": majority or answer,
            "weighted_majority": answer,
            "best_ppm": answer,
        },
        tries=tuple(Try(answer=a, count=n, score=s) for a, n, s in tries),
        labels=labels,
        cost={"generated_tokens": 100.0},
        versions={"policy": "p"},
        search_id=f"s-{problem_id}",
        started=100.0,
        finished=105.0,
    )

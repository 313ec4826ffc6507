"""Shares of a report say of how many they are, and how sure."""

from __future__ import annotations

from rstar.v1 import evolution_pb2, types_pb2
from rstar_cli.runpage.cells import DEPENDENT_NOTE, estimated
from rstar_cli.runpage.evaluations import evaluation_tables
from rstar_cli.runpage.models import data_table, ppm_table
from rstar_cli.runpage.page import report_of
from rstar_cli.runpage.problem_sets import NOTHING_KNOWN, ProblemLabels
from rstar_cli.runpage.rounds import levels_table


def run_of(rounds=1):
    run = evolution_pb2.Run(run_id="r")
    for number in range(rounds):
        run.recipe.rounds.add()
        run.rounds.add(round=number)
    return run


def test_an_interval_is_wilsons():
    assert estimated(8, 10) == "0.800 (0.490 to 0.943, n = 10)"
    assert estimated(0, 10) == "0.000 (0.000 to 0.278, n = 10)"
    assert estimated(0, 0) == "-"


def test_difficulties_go_from_easy_to_hard_and_others_follow_by_name():
    run = run_of()
    report = run.rounds[0]
    report.solved_by_level.update(dict.fromkeys(("hard", *"gdcafbe", "easy", "medium"), 0.5))
    assert levels_table(run, NOTHING_KNOWN).head == ("round", "easy", "medium", "hard", *"abcdefg")


def test_every_table_of_difficulties_has_them_in_this_order():
    run = run_of()
    made = run.rounds[0].evaluations.add(name="greedy")
    for level in ("hard", "extrapolate", "easy", "medium"):
        made.by_level[level].problems = 1
    by_level = next(t for t in evaluation_tables(run) if t.title == "Accuracy by difficulty")
    assert by_level.head[2:] == ("easy", "medium", "hard", "extrapolate")


def test_a_share_of_a_difficulty_has_its_n_and_interval():
    run = run_of()
    report = run.rounds[0]
    known = ProblemLabels(searched={0: {"easy": 838, "medium": 428, "hard": 134}})
    report.solved_by_level.update({"medium": 394 / 428, "easy": 788 / 838, "hard": 119 / 134})
    assert levels_table(run, known).rows == [
        [
            "0",
            "0.940 (0.922 to 0.954, n = 838)",
            "0.921 (0.891 to 0.943, n = 428)",
            "0.888 (0.824 to 0.931, n = 134)",
        ]
    ]


def test_a_share_whose_problems_are_gone_stands_alone():
    run = run_of()
    run.rounds[0].solved_by_level.update({"easy": 1.0, "hard": 0.5})
    assert levels_table(run, NOTHING_KNOWN).rows == [["0", "1.00", "0.50"]]


def test_pairs_have_an_interval_and_one_footnote_for_all():
    run = run_of(2)
    for report in run.rounds:
        report.ppm_metrics.update({"pair_accuracy": 97 / 116, "pair_accuracy_pairs": 116})
        made = report.evaluations.add(name="search8", problems=10)
        made.ranking.CopyFrom(
            evolution_pb2.Ranking(
                pairs=8, ordered_rightly=6, multi_step_pairs=5, multi_step_ordered_rightly=5
            )
        )
    text = report_of(run, {}).markdown
    assert "| 0 | - | - | 0.836 (0.758 to 0.893, n = 116) |" in text
    assert "| 0.750 (0.409 to 0.929, n = 8) | 1.000 (0.566 to 1.000, n = 5) |" in text
    assert "| right before wrong ¹ | of three steps and more ¹ |" in text
    assert "| step pairs ¹ | whole trajectories ¹ | all pairs ¹ |" in text
    assert text.count(DEPENDENT_NOTE) == 1
    assert report_of(run, {}).html.count(DEPENDENT_NOTE.replace("'", "&#x27;")) == 1
    assert DEPENDENT_NOTE not in report_of(run_of(), {}).markdown


def test_no_pairs_are_no_accuracy():
    run = run_of()
    run.rounds[0].ppm_metrics.update({"pair_accuracy": 0.0, "pair_accuracy_pairs": 0})
    assert ppm_table(run).rows == [["0", "-", "-", "-"]]


def how_it_was_measured(run):
    table = next(t for t in evaluation_tables(run) if t.title == "How it was measured")
    at = table.head.index("of search8")
    return {(row[0], row[1]): row[at] for row in table.rows}


def ask(run, round_, name, tokens, *, problems=10, held="held", **search):
    what = run.recipe.rounds[round_].evaluations.add(name=name, set=held)
    what.search.CopyFrom(types_pb2.SearchSettings(**search))
    made = run.rounds[round_].evaluations.add(name=name, problems=problems)
    made.cost.generated_tokens = tokens


def test_tokens_are_compared_with_the_tree_search_of_the_same_round_and_problems():
    run = run_of(2)
    tree = {"strategy": types_pb2.STRATEGY_MCTS, "rollouts": 8}
    samples = {"strategy": types_pb2.STRATEGY_BEST_OF_N, "rollouts": 5}
    ask(run, 0, "small", 100, **tree)
    ask(run, 0, "samples5", 106, **samples)
    ask(run, 0, "elsewhere", 500, held="other", problems=20, **samples)
    ask(run, 1, "forest", 900, trees=4, **tree)  # not a tree: no comparison in this round
    ask(run, 1, "larger", 700, strategy=types_pb2.STRATEGY_MCTS, rollouts=32)
    assert how_it_was_measured(run) == {
        ("0", "small"): "1.00",
        ("0", "samples5"): "1.06",
        ("0", "elsewhere"): "-",
        ("1", "forest"): "-",
        ("1", "larger"): "-",
    }


def test_variants_that_were_left_out_have_a_column_where_they_were_counted():
    run = run_of(2)
    run.rounds[0].policy_metrics.update({"training_examples": 900, "trained_tokens": 5})
    run.rounds[1].ppm_metrics.update({"groups_with_variants": 70, "pairs": 6})
    assert not any("left out" in head for head in data_table(run).head)
    assert "left out" not in data_table(run).note
    run.rounds[0].policy_metrics["variants_left_out"] = 0
    assert data_table(run).head.count("variants left out") == 1
    assert "their variants left out" not in data_table(run).head
    run.rounds[1].ppm_metrics["variants_left_out"] = 12
    table = data_table(run)
    columns = dict(zip(table.head, zip(*table.rows, strict=True), strict=True))
    assert columns["with variants"] == ("900", "-")
    assert columns["variants left out"] == ("0", "-")
    assert columns["their variants left out"] == ("-", "12")
    assert columns["trained tokens"] == ("5", "-")
    assert columns["pairs"] == ("-", "6")
    assert "Variants left out asked an evaluation question." in table.note

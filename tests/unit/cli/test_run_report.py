"""The report of a run says what was measured, and what was not."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from rstar.v1 import evolution_pb2, types_pb2
from rstar_cli.commands.report import write_report
from rstar_cli.runpage.cells import metric
from rstar_cli.runpage.charts import line_chart
from rstar_cli.runpage.page import report_of
from rstar_cli.runpage.problem_sets import NOTHING_KNOWN
from rstar_cli.views.evolution import duration, rounds_table


def run() -> evolution_pb2.Run:
    made = evolution_pb2.Run(run_id="r", state=evolution_pb2.RUN_STATE_RUNNING)
    made.recipe.name = "r"
    made.recipe.description = "A <test>."
    made.recipe.rounds.add()
    made.recipe.rounds.add()
    first = made.rounds.add(round=0, problems=10, solved=4, search_policy="bootstrap")
    first.phase = evolution_pb2.ROUND_PHASE_DONE
    first.policy_version = "policy-a"
    first.search_cost.rollouts = 80
    first.solved_by_label.update({"adding": 0.8, "sorting": 0.0})
    first.evaluations.add(
        name="greedy", problems=4, right=1, accuracy=0.25, half_interval=0.3, by_label={"adding": 1}
    )
    first.evaluations[0].by_label["dividing"] = 0.0
    first.ppm_metrics.update({"step_pair_accuracy": 0.9, "step_pair_accuracy_pairs": 50})
    first.seconds["searching"] = 90
    first.solved_by_level.update({"easy": 0.5, "hard": 0.25})
    made.recipe.rounds[0].bootstrap = True
    search = made.recipe.rounds[0].evaluations.add(name="greedy", set="held").search
    search.strategy = types_pb2.STRATEGY_MCTS
    search.rollouts, search.candidates = 8, 4
    search.answer_selection = types_pb2.ANSWER_SELECTION_BEST_PPM
    [evaluation] = first.evaluations
    evaluation.cost.generated_tokens = 1000
    evaluation.holding = 3
    evaluation.policy_version = "policy-a"
    evaluation.by_level["far"].CopyFrom(
        evolution_pb2.LevelReport(problems=2, right=1, accuracy=0.5, half_interval=0.4)
    )
    read = evaluation.by_rule.add(rule=types_pb2.ANSWER_SELECTION_WEIGHTED_MAJORITY)
    read.all.CopyFrom(
        evolution_pb2.LevelReport(problems=4, right=2, accuracy=0.5, half_interval=0.3)
    )
    read.by_level["far"].CopyFrom(
        evolution_pb2.LevelReport(problems=2, right=0, accuracy=0.0, half_interval=0.2)
    )
    evaluation.ranking.CopyFrom(evolution_pb2.Ranking(pairs=8, ordered_rightly=6))
    first.policy_metrics.update({"right_trajectories": 40, "disowned_trajectories": 10})
    made.rounds.add(round=1)
    return made


def test_every_table_has_what_was_measured_and_a_dash_for_what_was_not():
    text = report_of(run(), {}).markdown
    assert "| 0 | bootstrap | 10 | 4 | 40.0% |" in text
    assert "| 0 | 0.250 ± 0.300 (n = 4) |\n| 1 | - |" in text
    assert "| 0 | 0.900 (0.786 to 0.957, n = 50) | - | - |" in text
    assert "| 0 | 0.50 | 0.25 |" in text
    assert "| 0 | greedy | 0.500 ± 0.400 (n = 2) |" in text
    read = "0.500 ± 0.300 (n = 4) | 0.000 ± 0.200 (n = 2)"
    assert f"| 0 | greedy | weighted majority | 2 | {read} |" in text
    search = "mcts, 8 rollouts of 4 candidates, by best ppm"
    assert f"| 0 | greedy | policy-a | - | {search} | 2 | 250 | 1.00 | 0 |" in text
    assert "| 0 | 1 | 3 | 0 | 0 | 0.750 (0.409 to 0.929, n = 8) | - |" in text
    assert "| 0 | 40 | 10 (25.0%) |" in text
    assert "Not measured by a run" in text


def test_what_the_minutes_of_a_phase_leave_out_is_said():
    text = report_of(run(), {}).markdown
    assert "waiting for other services included" in text
    assert "without the time in which no trainer carried the phase out." in text


def test_a_report_is_for_people_and_for_programs(tmp_path):
    write_report(run(), {}, NOTHING_KNOWN, tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["rounds"][0]["solved"] == 4
    assert {"README.md", "index.html", "accuracy.svg"} <= {one.name for one in tmp_path.iterdir()}


def test_nothing_is_said_of_searches_that_were_not_made():
    made = run()
    for report in made.rounds:
        report.ClearField("solved_by_label")
    assert "was solved by the search" not in report_of(made, {}).markdown


def test_no_share_is_shown_of_a_search_under_way():
    made = run()
    made.rounds[1].problems, made.rounds[1].phase = 8, evolution_pb2.ROUND_PHASE_SEARCHING
    assert "| 1 | given trees | 8 | - | - |" in report_of(made, {}).markdown
    columns = {column.header: list(column.cells) for column in rounds_table(made).columns}
    assert columns["solved"] == ["40.0%", ""]


def test_the_page_shows_texts_as_text_and_charts_inside():
    made = report_of(run(), {"policy r0": [(1, 3.0), (2, 0.5)]})
    assert "A &lt;test&gt;." in made.html
    assert made.html.count("<svg") == len(made.charts) == 4
    for svg in made.charts.values():
        ElementTree.fromstring(svg)


def test_a_page_without_charts_has_no_place_for_them():
    assert "Curves" not in report_of(evolution_pb2.Run(run_id="r"), {}).markdown
    assert "Curves" in report_of(run(), {}).markdown


def test_arms_of_an_ablation_are_joined_by_no_line():
    made = run()
    assert "accuracy.svg" in report_of(made, {}).charts
    made.recipe.rounds[0].trial = True
    assert "accuracy.svg" not in report_of(made, {}).charts


def test_who_searched_a_second_time_is_named():
    made = run()
    made.rounds[1].search_policy, made.rounds[1].second_policy = "policy-a", "bootstrap"
    made.rounds[1].second_problems, made.rounds[1].second_solved = 5, 2
    text = report_of(made, {}).markdown
    assert "| 2 of 5, bootstrap |" in text
    assert "| policy-a, bootstrap |" in text


def test_the_lineage_names_what_a_round_was_given():
    made = run()
    arm = made.recipe.rounds[1]
    arm.batch_ids.append("mini/r2/search")
    arm.policy_version = "policy-b"
    text = report_of(made, {}).markdown
    assert "| 1 | mini/r2/search | - | - | - | policy-b (given) | - | - |" in text


def test_training_problems_that_were_left_out_are_counted_by_pool_set_and_how():
    made = run()
    for number, how in enumerate(("text", "text", "ngram")):
        made.contaminated.add(pool="train", problem_id=f"p{number}", evaluation_set="held", how=how)
    text = report_of(made, {}).markdown
    assert "1 of train like one of held (ngram), 2 of train like one of held (text)" in text
    assert "run.json names them." in text
    made.contaminated_counts.add(pool="train", evaluation_set="held", how="text", count=5000)
    text = report_of(made, {}).markdown
    assert "5000 training problems" in text
    assert "run.json names the first 3; all are among the run's objects." in text


def test_that_nothing_had_to_be_left_out_is_said_with_what_was_looked_for():
    made = run()
    made.recipe.evaluation_sets.add(name="held")
    said = "No training problem resembles an evaluation problem"
    assert f"{said} (whole text)." in report_of(made, {}).markdown
    made.recipe.decontamination.ngram = 13
    assert f"{said} (text or 13 words in a row)." in report_of(made, {}).markdown
    del made.rounds[:]  # nothing was looked for yet
    assert said not in report_of(made, {}).markdown


def test_a_chart_without_points_is_nothing():
    assert line_chart("t", {"a": []}, x_label="x") == ""


def test_a_line_goes_from_low_to_high():
    svg = ElementTree.fromstring(
        line_chart("t", {"a": [(0, 0.0), (1, 1.0)]}, x_label="x", share=True)
    )
    [line] = [one for one in svg.iter() if one.tag.endswith("polyline")]
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in line.get("points").split())
    assert x1 > x0
    assert y1 < y0  # up is less, in pictures


def test_durations_are_for_people():
    assert [duration(s) for s in (42, 700, 11100)] == ["42 s", "12 min", "3 h 05"]


def test_counts_are_written_in_full_and_shares_with_four_digits():
    found = {"examples": 11794.0, "loss": 0.0089834}
    assert [metric(found, name) for name in ("examples", "loss", "pairs")] == [
        "11,794",
        "0.008983",
        "-",
    ]

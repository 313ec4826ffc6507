"""Model text cannot act on a terminal; numbers for people are right."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rstar.v1 import searcher_pb2, tree_pb2
from rstar_cli.headline import headline
from rstar_cli.output import one_line, plain
from rstar_cli.views.batch import Rate, duration, total_cost
from rstar_cli.views.search import SearchView, solution, tree_lines, what_speaks_for
from tests.support.trees import HOSTILE, grown_tree


@pytest.mark.parametrize("text", HOSTILE)
def test_no_control_or_reordering_character_survives(text):
    assert not set(plain(text)) & set("\x1b\x07\u202e\u2066")
    assert "\n" not in one_line(text + "\n" + text)


def test_a_hostile_tree_is_drawn_without_escape_sequences():
    tree = grown_tree(80, seed=1, hostile=True)
    screen = Console(file=io.StringIO(), width=100, markup=False, color_system=None)
    screen.print(tree_lines(tree))
    screen.print(solution(tree.result))
    drawn = screen.file.getvalue()
    assert "\x1b" not in drawn
    assert "more nodes" not in drawn


def test_the_live_view_counts_visits_along_the_path():
    view = SearchView("q")
    for node, parent in ((1, 0), (2, 1), (3, 1)):
        event = searcher_pb2.SearchEvent(search_id="s")
        event.expansion.children.add(id=node, parent=parent)
        view.take(event)
    for node, value in ((2, 1.0), (3, -1.0)):
        event = searcher_pb2.SearchEvent(search_id="s")
        event.rollout_ended.node, event.rollout_ended.value = node, value
        view.take(event)
    screen = Console(file=io.StringIO(), width=100)
    screen.print(view)
    assert "N 2 Q +0.00" in screen.file.getvalue()


@pytest.mark.parametrize(
    ("rule", "scored", "said"),
    [
        ("BEST_PPM", True, "PPM score +0.75"),
        ("BEST_PPM", False, "75% of votes"),
        ("MAJORITY", True, "75% of votes"),
        ("WEIGHTED_MAJORITY", True, "75% of votes, weighted by PPM score"),
        ("WEIGHTED_MAJORITY", False, "75% of votes"),
    ],
)
def test_the_answers_score_is_called_what_it_is(rule, scored, said):
    result = tree_pb2.SearchResult(answer_score=0.75)
    result.trajectories.add(ppm_score=0.75 if scored else None)
    result.settings.answer_selection = f"ANSWER_SELECTION_{rule}"
    assert what_speaks_for(result) == said


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (
            "# Step 2: solve\nfrom sympy import *\nR = solve(A, q)",
            "R = solve(A, q) # Step 2: solve",
        ),
        ("print(R)", "print(R)"),
        ("# only words", "# only words"),
        ("", "(empty)"),
    ],
)
def test_a_step_is_named_by_what_it_computes(step, line):
    assert headline(step, 80) == line


def test_the_rate_is_unknown_until_something_ends():
    rate = Rate()
    rate.note(0.0, 4)
    assert rate.per_second is None
    rate.note(2.0, 8)
    assert rate.per_second == 2.0
    assert rate.seconds_left(10) == 5.0


@pytest.mark.parametrize(("seconds", "shown"), [(5, "0:05"), (75, "1:15"), (3700, "1:01:40")])
def test_a_duration_is_short(seconds, shown):
    assert duration(seconds) == shown


def test_costs_add_up():
    results = [searcher_pb2.BatchResult() for _ in range(2)]
    for item in results:
        item.result.cost.sandbox_runs, item.result.cost.wall_seconds = 3, 1.5
    assert total_cost(results).sandbox_runs == 6
    assert total_cost(results).wall_seconds == 3.0

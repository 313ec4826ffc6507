"""Tables by module never mix figures of different problems, and say of how many each is."""

from __future__ import annotations

import json

from rstar.v1 import evolution_pb2, types_pb2
from rstar_cli.commands.report import read_labels
from rstar_cli.runpage.measurements import measurements, series
from rstar_cli.runpage.modules import module_tables
from rstar_cli.runpage.page import report_of
from rstar_cli.runpage.problem_sets import (
    LABELS,
    NOTHING_KNOWN,
    ProblemLabels,
    labels_of,
    problems_by_label,
)
from rstar_common.errors import NotFound
from rstar_common.lines import json_lines
from rstar_common.spread import spread
from rstar_trainer.evolution import problems as of_the_trainer

GREEDY, MCTS = types_pb2.STRATEGY_GREEDY, types_pb2.STRATEGY_MCTS


def measure(run, round_, name, held, strategy=GREEDY, *, problems, asked=0, **by_label):
    """Ask a round for an evaluation, and make it."""
    what = run.recipe.rounds[round_].evaluations.add(name=name, set=held, problems=asked)
    what.search.strategy = strategy
    run.rounds[round_].evaluations.add(name=name, problems=problems, by_label=by_label)


def run_of(rounds):
    run = evolution_pb2.Run(run_id="r")
    for number in range(rounds):
        run.recipe.rounds.add()
        run.rounds.add(round=number)
    return run


def by_title(run, sets):
    return {table.title: table for table in module_tables(run, sets) if table.rows}


def two_rounds():
    run = run_of(2)
    measure(run, 0, "greedy", "all", problems=120, adding=0.5, sorting=0.25)
    measure(run, 0, "validation", "seen", problems=10, adding=0.2, sorting=0.4)
    measure(run, 1, "greedy", "few", problems=10, adding=1.0, sorting=0.0)
    measure(run, 1, "validation", "seen", problems=10, adding=0.6, sorting=0.8)
    measure(run, 1, "search8", "few", MCTS, problems=10, adding=0.8, sorting=0.0)
    return run


FEW = ["adding"] * 4 + ["sorting"] * 6


def test_the_last_rounds_evaluations_stand_beside_each_other_with_n_of_each_set():
    table = by_title(two_rounds(), ProblemLabels(sets={"few": FEW}))[
        "By module: evaluations of round 1"
    ]
    assert table.head == ("module", "few, n", "greedy", "search8", "validation")
    assert table.rows == [
        ["adding", "4", "1.00", "0.80", "0.60"],
        ["sorting", "6", "0.00", "0.00", "0.80"],
    ]
    assert table.note == "few: 10 problems, 5 a module. seen: 10 problems, 5 a module."


def test_of_arms_the_one_that_measured_most_is_shown():
    run = two_rounds()
    for round_ in run.recipe.rounds:
        round_.trial = True
    assert "By module: evaluations of round 0" in by_title(run, NOTHING_KNOWN)
    measure(run, 1, "whole", "all", problems=120, adding=0.5, sorting=0.25)
    assert "By module: evaluations of round 1" in by_title(run, NOTHING_KNOWN)


def test_one_name_over_two_sets_is_two_columns_and_two_lines():
    run = two_rounds()
    assert list(series(run)) == [
        "greedy (120 of all)",
        "validation",
        "greedy (10 of few)",
        "search8",
    ]
    accuracy = "| round | greedy (120 of all) | validation | greedy (10 of few) | search8 |"
    made = report_of(run, {})
    assert accuracy in made.markdown
    assert "greedy (120 of all)" in made.charts["accuracy.svg"]


def test_one_name_searched_in_two_ways_is_two_columns():
    run = run_of(3)
    for number, temperature in enumerate((1.0, 0.6, 0.6)):
        measure(run, number, "search8", "few", MCTS, problems=10, adding=0.5)
        search = run.recipe.rounds[number].evaluations[0].search
        search.temperature, search.rollouts, search.seed = temperature, 8, number
    columns = {name: [one.round for one in column] for name, column in series(run).items()}
    assert columns == {
        "search8 (mcts, 8 rollouts, temperature 1)": [0],
        "search8 (mcts, 8 rollouts, temperature 0.6)": [1, 2],
    }
    run.recipe.rounds[2].evaluations[0].search.max_step_tokens = 512  # which no label says
    assert [one.round for column in series(run).values() for one in column] == [0, 1, 2]


def test_rounds_are_compared_by_what_all_of_them_were_asked():
    # Not by `greedy`, which asked others in each round.
    table = by_title(two_rounds(), NOTHING_KNOWN)["By module: validation by round"]
    assert table.head == ("module", "r0", "r1")
    assert table.rows == [["adding", "0.20", "0.60"], ["sorting", "0.40", "0.80"]]
    assert table.note == "The same 10 problems of seen in every round, 5 a module."


def test_of_what_all_rounds_were_asked_the_larger_one_without_search_is_taken():
    run = run_of(2)
    for number in range(2):
        measure(run, number, "validation", "seen", problems=10, adding=0.5)
        measure(run, number, "search8", "held", MCTS, problems=90, adding=0.5)
        measure(run, number, "greedy", "held", problems=40, adding=0.5)
    assert "By module: greedy by round" in by_title(run, NOTHING_KNOWN)


def test_what_most_rounds_were_asked_is_preferred_to_what_is_larger_and_without_search():
    run = run_of(3)
    for number in range(3):
        measure(run, number, "search8", "held", MCTS, problems=10, adding=0.5)
    for number in range(2):
        measure(run, number, "greedy", "held", problems=40, adding=0.5)
    assert "By module: search8 by round" in by_title(run, NOTHING_KNOWN)


def test_a_round_under_way_does_not_change_what_rounds_are_compared_by():
    run = run_of(3)
    for number in range(3):
        measure(run, number, "validation", "seen", problems=10, adding=0.5)
        measure(run, number, "greedy", "held", problems=40, adding=0.5)
    del run.rounds[2].evaluations[1]
    assert by_title(run, NOTHING_KNOWN)["By module: greedy by round"].head == ("module", "r0", "r1")


def test_one_round_is_compared_with_none():
    run = run_of(1)
    measure(run, 0, "greedy", "held", problems=10, adding=0.5)
    assert list(by_title(run, NOTHING_KNOWN)) == ["By module: evaluations of round 0"]


def test_searched_problems_have_a_table_of_their_own():
    run = run_of(2)
    run.rounds[0].problems = 50
    run.rounds[0].solved_by_label.update({"adding": 0.5, "sorting": 0.1})
    [table] = by_title(run, NOTHING_KNOWN).values()
    assert table.head == ("module", "r0 (25 a module)")
    assert table.rows == [["adding", "0.50"], ["sorting", "0.10"]]


def test_page_and_markdown_have_the_same_tables():
    made = report_of(two_rounds(), {}, ProblemLabels(sets={"few": FEW}))
    assert "| adding | 4 | 1.00 | 0.80 | 0.60 |" in made.markdown
    assert "<td>adding</td><td>4</td><td>1.00</td><td>0.80</td><td>0.60</td>" in made.html


def test_of_a_part_of_a_set_the_problems_at_equal_distances_are_counted():
    run = run_of(1)
    measure(run, 0, "greedy", "held", asked=4, problems=4, adding=0.5, sorting=1.0)
    [one] = measurements(run)
    labels = ["adding", "sorting", "adding", "adding", "sorting", "adding", "adding", "sorting"]
    taken = spread(labels, 4)
    assert problems_by_label(one, ProblemLabels(sets={"held": labels})) == {
        "adding": taken.count("adding"),
        "sorting": taken.count("sorting"),
    }


def test_a_set_that_is_not_the_one_that_was_measured_tells_nothing():
    run = run_of(1)
    measure(run, 0, "greedy", "held", problems=3, adding=0.5, sorting=1.0)
    [one] = measurements(run)
    assert problems_by_label(one, ProblemLabels(sets={"held": ["adding", "sorting", "adding"]}))
    assert not problems_by_label(one, ProblemLabels(sets={"held": ["adding", "sorting"]}))
    assert not problems_by_label(one, ProblemLabels(sets={"held": ["adding", "adding", "adding"]}))
    assert not problems_by_label(one, NOTHING_KNOWN)


def test_a_problems_label_is_the_one_that_the_trainer_tells_apart():
    assert LABELS == of_the_trainer.LABELS
    labels = [{"level": "easy", "subject": "algebra"}, {"level": "hard"}, {"other": "x"}]
    lines = "\n".join(json.dumps({"problem_id": "p", "labels": one}) for one in labels)
    assert labels_of(lines.encode()) == ["algebra", "hard", ""]
    assert labels_of(b'{"problem_id": "p"}\n') == [""]


async def test_what_is_known_of_problems_is_read_from_the_store():
    problems = [
        types_pb2.Problem(problem_id=f"p{n}", question="?", labels={"module": "adding", **more})
        for n, more in enumerate([{"level": "easy"}, {"level": "hard"}, {"level": "hard"}, {}])
    ]
    objects = {
        "set": json_lines(problems[:1]),
        "pool": json_lines(problems),
        "ids": b"p0\np2\np3\nelsewhere\n",
    }

    class Store:
        async def get(self, key):
            if key not in objects:
                raise NotFound(key)
            return objects[key]

    run = run_of(2)
    run.recipe.evaluation_sets.add(name="held", problems_key="set")
    run.recipe.evaluation_sets.add(name="gone", problems_key="elsewhere")
    run.recipe.pools.add(name="train", problems_key="pool")
    run.rounds[0].problems_key = "ids"
    known = await read_labels(Store(), run)
    assert known.sets == {"held": ["adding"]}
    assert known.searched == {0: {"easy": 1, "hard": 1}}

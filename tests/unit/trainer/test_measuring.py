"""What is said of an evaluation: means, how sure they are, how a PPM orders trajectories."""

from __future__ import annotations

from random import Random

import pytest

from rstar.v1 import sandbox_pb2, searcher_pb2, tree_pb2, types_pb2
from rstar_common.errors import NotFound
from rstar_trainer.evolution.measuring import mean_of_shares, measure
from rstar_trainer.evolution.ranking import Finished, finished_trajectories, holding, ranking

RIGHT, WRONG = types_pb2.VERDICT_EQUAL, types_pb2.VERDICT_UNEQUAL


def test_the_mean_is_over_labels_whatever_their_sizes():
    mean, half = mean_of_shares({"a": [True] * 90 + [False] * 10, "b": [False, True]})
    assert mean == pytest.approx(0.7)
    assert 0.2 < half < 0.45  # two answers of b are half of the figure


def test_the_interval_holds_the_true_mean_nineteen_times_in_twenty():
    rng = Random(1)
    rates = [rng.random() for _ in range(40)]
    truth = sum(rates) / len(rates)
    inside = 0
    for _ in range(400):
        drawn = {
            str(label): [rng.random() < rate for _ in range(5)] for label, rate in enumerate(rates)
        }
        mean, half = mean_of_shares(drawn)
        inside += abs(mean - truth) <= half
    assert 0.92 <= inside / 400 <= 0.995


def test_nothing_measured_is_nothing_known():
    assert mean_of_shares({}) == (0.0, 0.0)


def test_every_pair_of_a_right_and_a_wrong_trajectory_counts():
    found = ranking(
        [
            (
                [
                    Finished(answer="4", score=0.9, code_steps=3),
                    Finished(answer="4", score=-0.2, code_steps=1),
                    Finished(answer="5", score=0.1, code_steps=4),
                    Finished(answer="?", score=1.0, code_steps=4),
                ],
                {"4": RIGHT, "5": WRONG, "?": types_pb2.VERDICT_UNDECIDED},
            ),
            ([Finished(answer="1", score=0.5, code_steps=3)], {"1": RIGHT}),
        ]
    )
    assert (found.pairs, found.ordered_rightly) == (2, 1)
    assert (found.multi_step_pairs, found.multi_step_ordered_rightly) == (1, 1)


def test_a_tie_is_not_ordered_rightly():
    same = [Finished(answer=name, score=0.5, code_steps=1) for name in "12"]
    assert ranking([(same, {"1": RIGHT, "2": WRONG})]).ordered_rightly == 0


def test_what_no_ppm_scored_makes_no_pair_and_is_held_all_the_same():
    found = [Finished(answer=name, score=None, code_steps=1) for name in "12"]
    searches = [(found, {"1": RIGHT, "2": WRONG}), (found[1:], {"2": WRONG}), ([], {})]
    assert ranking(searches).pairs == 0
    assert holding(searches) == 1


def test_answers_of_a_tree_come_with_score_and_code_steps():
    tree = tree_pb2.Tree()
    tree.nodes.add(id=0, parent=0)
    tree.nodes.add(id=1, parent=0)
    leaf = tree.nodes.add(
        id=2, parent=1, terminal=tree_pb2.TERMINAL_ANSWER, answer="7", ppm_score=0.25
    )
    leaf.candidate.step.kind = types_pb2.STEP_KIND_FINAL_CODE
    tree.nodes.add(id=3, parent=1, terminal=tree_pb2.TERMINAL_ANSWER, answer="8")  # no score
    tree.nodes.add(id=4, parent=1, terminal=tree_pb2.TERMINAL_LIMIT, ppm_score=0.5)
    assert finished_trajectories(tree) == [
        Finished(answer="7", score=0.25, code_steps=2),
        Finished(answer="8", score=None, code_steps=2),
    ]


class Shelf:
    """Trees by key, and a judge that asks for equal text."""

    def __init__(self, trees: dict[str, tree_pb2.Tree]) -> None:
        self._trees = trees
        self.judged: list[str] = []

    async def tree(self, key: str) -> bytes:
        if key not in self._trees:
            raise NotFound(key)
        return self._trees[key].SerializeToString()

    async def judge(self, pairs: list[sandbox_pb2.AnswerPair]) -> list[types_pb2.Verdict.ValueType]:
        self.judged += [pair.answer for pair in pairs]
        return [RIGHT if pair.answer == pair.reference else WRONG for pair in pairs]


def searched(name: str, answer: str, **choices: str) -> searcher_pb2.BatchResult:
    """A result that chose `answer`, and would have chosen others by other rules."""
    made = searcher_pb2.BatchResult(problem_id=name)
    made.result.status = tree_pb2.SEARCH_STATUS_ANSWERED
    made.result.answer, made.result.tree_key = answer, name
    for rule, other in choices.items():
        made.result.choices.add(
            rule=types_pb2.AnswerSelection.Value(f"ANSWER_SELECTION_{rule}"), answer=other
        )
    return made


def holds(*answers: str) -> tree_pb2.Tree:
    tree = tree_pb2.Tree()
    tree.nodes.add(id=0, parent=0)
    for answer in answers:
        tree.nodes.add(
            id=len(tree.nodes), parent=0, terminal=tree_pb2.TERMINAL_ANSWER, answer=answer
        )
    return tree


async def test_one_search_is_read_with_every_rule_and_every_answer_judged_once():
    problems = [
        types_pb2.Problem(problem_id=name, reference="7", labels={"module": m, "level": level})
        for name, m, level in (("p", "a", "near"), ("q", "a", "near"), ("r", "b", "far"))
    ]
    shelf = Shelf({"p": holds("7", "8"), "q": holds("9")})
    results = [
        searched("p", "8", MAJORITY="8", BEST_PPM="7"),
        searched("q", "9", MAJORITY="9"),  # nothing of it was scored
        searched("r", "6", MAJORITY="6", BEST_PPM="7"),  # its tree is gone
    ]
    report = await measure(shelf, problems, results)
    assert (report.right, report.holding, report.unanswered) == (0, 1, 0)
    assert [(one.rule, one.all.right, one.all.problems) for one in report.by_rule] == [
        (types_pb2.ANSWER_SELECTION_BEST_PPM, 2, 3),
        (types_pb2.ANSWER_SELECTION_MAJORITY, 0, 3),
    ]
    best, majority = report.by_rule
    assert best.all.accuracy == pytest.approx(0.75)  # half of one module, all of the other
    assert best.by_level["near"].accuracy == pytest.approx(0.5)
    assert best.by_level["far"].right == 1
    assert majority.all.right == report.right  # the rule that was asked for
    assert sorted(shelf.judged) == ["6", "7", "7", "8", "9"]


async def test_a_cancelled_search_is_right_by_no_rule():
    cancelled = searched("p", "7", MAJORITY="7")
    cancelled.result.status = tree_pb2.SEARCH_STATUS_CANCELLED
    problems = [types_pb2.Problem(problem_id=name, reference="7") for name in "pq"]
    report = await measure(
        Shelf({"p": holds("7")}), problems, [cancelled, searched("q", "7", MAJORITY="7")]
    )
    assert (report.right, report.unanswered) == (1, 1)
    assert [one.all.right for one in report.by_rule] == [1]


async def test_nothing_is_said_by_rule_where_a_searcher_did_not_say_what_they_choose():
    problems = [types_pb2.Problem(problem_id=name, reference="7") for name in "pq"]
    results = [searched("p", "7", MAJORITY="7"), searched("q", "7")]  # q: of the release before
    report = await measure(Shelf({}), problems, results)
    assert report.right == 2
    assert not report.by_rule

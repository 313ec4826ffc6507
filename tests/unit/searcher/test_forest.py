"""Several trees of one search, and more rollouts for what was not solved."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from rstar_common.errors import InvalidInput
from rstar_searcher.driver import EndedBy
from rstar_searcher.results import best_so_far
from rstar_searcher.selection import trajectories
from rstar_searcher.settings import AnswerSelection, Mode, SearchSettings, Strategy
from rstar_searcher.strategies import make_strategy
from rstar_searcher.tree import NodeId
from tests.support.toy_world import ToyWorld
from tests.unit.searcher.test_driver import searched, shape
from tests.unit.searcher.test_mcts import right, search, wrong

GUIDED = Mode.TERMINAL_GUIDED


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_the_first_of_several_trees_is_the_tree_of_a_search_with_one(strategy):
    settings = {"strategy": strategy, "rollouts": 6, "parallel_rollouts": 1, "seed": 3}
    alone, _ = await searched(ToyWorld(), **settings)
    rng = Random(5)
    many, _ = await searched(ToyWorld(delay=lambda: rng.random() / 500), trees=3, **settings)
    many.tree.check()
    of_many = {key: value for key, value in shape(many).items() if key.split(".")[0] == "r"}
    assert of_many == shape(alone)


async def test_every_tree_has_its_root_first_its_own_seeds_and_all_rollouts():
    found, ended = await searched(ToyWorld(), trees=3, rollouts=6, mode=GUIDED)
    tree = found.tree
    assert ended is EndedBy.ROLLOUTS
    assert [tree[NodeId(i)].key for i in range(3)] == ["r", "r1", "r2"]
    assert [tree[NodeId(i)].parent for i in range(3)] == [0, 1, 2]
    assert [tree[NodeId(i)].visits for i in range(3)] == [6, 6, 6]
    assert all(tree.root_of(b.leaf) in range(3) for b in found.backups)
    firsts = [tree[tree[NodeId(i)].children[0]].step for i in range(3)]
    assert len({child.candidate.seed for child in firsts if child}) == 3


async def test_the_votes_of_all_trees_are_joined():
    found, _ = await searched(ToyWorld(), trees=8, rollouts=4)
    settings = SearchSettings(answer_selection=AnswerSelection.WEIGHTED_MAJORITY, top_k=1024)
    pooled = trajectories(found.tree, candidates=settings.candidates)
    assert len({trajectory.root for trajectory in pooled}) == 8
    votes: dict[str, float] = {}
    for trajectory in pooled:
        weight = (1 + (trajectory.score or 0.0)) / 2
        votes[trajectory.answer] = votes.get(trajectory.answer, 0) + trajectory.votes * weight
    best = best_so_far(found.tree, settings)
    assert best is not None
    assert best.trajectory.answer == max(votes, key=lambda answer: votes[answer])


async def test_the_budget_is_of_all_trees_together():
    world = ToyWorld(depth=8)
    _, ended = await searched(
        world, trees=8, rollouts=500, parallel_rollouts=1, max_generated_tokens=800
    )
    assert ended is EndedBy.GENERATED_TOKENS
    assert world.meter.generated_tokens < 800 + 8 * 8 * 10, "and what was in flight"


async def test_a_right_answer_in_one_tree_ends_the_search_of_all():
    forest = search(trees=2, stop_after_right=1)
    forest.ask()
    forest.tell(NodeId(1), [right(0)], [])
    assert forest.solved
    assert forest.ask() == []


def test_more_rollouts_are_done_only_while_none_was_right():
    mcts = search(rollouts=1, extra_rollouts=(1, 1, 7))
    mcts.ask()
    mcts.tell(NodeId(0), [wrong(0), wrong(1), right(2), wrong(3)], [])
    assert (len(mcts.backups), mcts.planned) == (1, 1)
    assert mcts.ask() == [], "all its nodes are answers: nothing is to be expanded"
    assert [backup.value for backup in mcts.backups] == [-1.0, -1.0, 1.0]
    assert mcts.planned == 3, "the third was right, so the seven were not begun"


async def test_an_unsolved_problem_gets_every_extra_rollout_and_no_more():
    class Hopeless(ToyWorld):
        async def judge(self, problem, answers):
            return [type(v).UNEQUAL for v in await super().judge(problem, answers)]

    settings = {"mode": GUIDED, "rollouts": 2, "candidates": 8}
    found, ended = await searched(Hopeless(depth=4), extra_rollouts=(3, 5), trees=2, **settings)
    assert ended is EndedBy.ROLLOUTS
    assert len(found.backups) == found.planned == 2 * (2 + 3 + 5)
    solved, _ = await searched(ToyWorld(), mode=GUIDED, rollouts=40, extra_rollouts=(1000,))
    assert solved.right
    assert solved.planned == 40


async def test_extra_rollouts_of_an_exhausted_tree_end_the_search():
    class Barren(ToyWorld):
        async def execute(self, path, siblings, *, seed):
            outcomes, version = await super().execute(path, siblings, seed=seed)
            return [type(o)(limit=1) for o in outcomes], version

    found, ended = await searched(Barren(), mode=GUIDED, extra_rollouts=(16, 64))
    assert ended is EndedBy.EXHAUSTED
    assert found.tree[NodeId(0)].closed


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"trees": 0}, "settings.trees"),
        ({"trees": 129}, "settings.trees"),
        ({"extra_rollouts": (16,)}, "settings.extra_rollouts"),
        ({"mode": GUIDED, "extra_rollouts": (0,)}, "settings.extra_rollouts"),
        ({"mode": GUIDED, "extra_rollouts": (1025,)}, "settings.extra_rollouts"),
        ({"mode": GUIDED, "extra_rollouts": (1,) * 9}, "settings.extra_rollouts"),
        (
            {"mode": GUIDED, "extra_rollouts": (1,), "strategy": Strategy.BEST_OF_N},
            "settings.extra_rollouts",
        ),
    ],
)
def test_impossible_settings_name_their_field(settings, field):
    with pytest.raises(InvalidInput) as error:
        SearchSettings(**settings).checked()
    assert error.value.field == field


def test_greedy_has_one_tree():
    settings = SearchSettings(strategy=Strategy.GREEDY, trees=4).normalized()
    assert settings.trees == 1
    assert len(make_strategy(settings).tree) == 1


async def test_a_cancelled_forest_leaves_nothing_in_flight():
    world, cancel = ToyWorld(gate=asyncio.Event()), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(searched(world, cancel, trees=4))
        await world.entered.wait()
        cancel.set()
    assert task.result()[1] is EndedBy.CANCEL
    assert world.in_flight == 0

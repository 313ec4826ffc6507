"""One rollout at a time is the sequential algorithm; many at once keep its books in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from rstar_searcher.driver import EndedBy, drive
from rstar_searcher.expansion import expand
from rstar_searcher.meter import Meter
from rstar_searcher.model import Verdict
from rstar_searcher.services import Problem
from rstar_searcher.settings import Mode, SearchSettings, Strategy, UnvisitedRule
from rstar_searcher.strategies import Told, make_strategy, replay
from rstar_searcher.tree import NodeId
from tests.support.sequential_mcts import PlainMcts, PlainNode
from tests.support.toy_world import ToyWorld, unit

PROBLEM = Problem(question="toy?", reference="3")


class UnsureWorld(ToyWorld):
    """Its judge cannot tell what some answers are, and some candidates never end."""

    async def judge(self, problem, answers):
        verdicts = await super().judge(problem, answers)
        return [
            Verdict.UNDECIDED if unit("unsure", answer) < 0.2 else verdict
            for answer, verdict in zip(answers, verdicts, strict=True)
        ]


SEARCHES = st.builds(
    SearchSettings,
    mode=st.sampled_from(Mode),
    unvisited_rule=st.sampled_from(UnvisitedRule),
    rollouts=st.integers(1, 40),
    candidates=st.integers(1, 6),
    exploration=st.sampled_from([0.0, 0.5, 2.0]),
    max_depth=st.integers(1, 5),
    max_trajectory_tokens=st.sampled_from([6, 9, 4096]),
    seed=st.integers(0, 2**32),
    parallel_rollouts=st.just(1),
)
WORLDS = st.tuples(st.integers(1, 5), st.integers(1, 8))


async def searched(chosen: SearchSettings, world: ToyWorld, ledger=None):
    strategy = make_strategy(chosen)
    ended = await drive(
        strategy,
        PROBLEM,
        chosen,
        world,
        Meter(),
        cancel=asyncio.Event(),
        on_progress=lambda _: None,
        ledger=ledger,
    )
    return strategy, ended


@settings(max_examples=150, deadline=None)
@given(chosen=SEARCHES, world=WORLDS)
def test_one_rollout_at_a_time_equals_the_plain_recursive_search(chosen, world):
    depth, choices = world

    async def both():
        async def plainly(node: PlainNode):
            expansion = await expand(
                UnsureWorld(depth=depth, choices=choices),
                PROBLEM,
                chosen,
                node.steps,
                key=node.key,
                num_candidates=chosen.candidates,
            )
            return list(expansion.children)

        plain = PlainMcts(chosen, plainly)
        await plain.search()
        strategy, _ = await searched(chosen, UnsureWorld(depth=depth, choices=choices))
        return plain, strategy

    plain, strategy = asyncio.run(both())
    tree = strategy.tree
    tree.check()
    assert [backup.value for backup in strategy.backups] == plain.values
    assert plain.shape() == {
        tree[i].key: (tree[i].visits, round(tree[i].value_sum, 9), tree[i].closed)
        for i in tree.ids()
    }


@settings(max_examples=40, deadline=None)
@given(
    mode=st.sampled_from(Mode),
    parallel=st.integers(2, 16),
    trees=st.integers(1, 3),
    rollouts=st.integers(1, 32),
    timing=st.integers(0, 2**32),
)
def test_parallel_rollouts_keep_the_books_in_order_and_replay_from_their_tells(
    mode, parallel, trees, rollouts, timing
):
    chosen = SearchSettings(
        mode=mode, parallel_rollouts=parallel, trees=trees, rollouts=rollouts, candidates=4
    )
    rng = Random(timing)
    # Yields to the loop zero or more times, so that replies overtake each other.
    world = ToyWorld(delay=lambda: rng.choice([0.0, 0.0, 0.0001]))
    book: list[Told] = []

    class Book:
        def told(self, told, meter):
            book.append(told)
            strategy_of_book.tell(told.node, told.children, told.dropped)
            strategy_of_book.ask()
            strategy_of_book.tell(told.node, told.children, told.dropped)

        async def room(self):
            pass

    strategy_of_book = make_strategy(chosen)
    strategy_of_book.ask()
    strategy, ended = asyncio.run(searched(chosen, world, Book()))
    tree = strategy.tree
    tree.check()
    assert all(tree[i].pending == 0 for i in tree.ids())
    assert len({told.node for told in book}) == len(book), "no leaf is expanded twice"
    assert sum(tree[i].expanded for i in tree.ids()) == len(book)
    assert ended in (EndedBy.ROLLOUTS, EndedBy.EXHAUSTED)
    ends = Counter(tree.root_of(backup.leaf) for backup in strategy.backups)
    for root in map(NodeId, range(trees)):
        assert ends[root] == tree[root].visits == rollouts or tree[root].closed
    replayed = make_strategy(chosen)
    assert replay(replayed, book) == []
    for again in (replayed, strategy_of_book):
        assert [again.tree[i] for i in again.tree.ids()] == [tree[i] for i in tree.ids()]
        assert again.backups == strategy.backups


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(Strategy),
    mode=st.sampled_from(Mode),
    trees=st.integers(1, 3),
    order=st.randoms(use_true_random=False),
)
def test_every_strategy_takes_results_in_any_order_and_twice(name, mode, trees, order):
    chosen = SearchSettings(
        strategy=name, mode=mode, trees=trees, rollouts=4, candidates=3
    ).normalized()

    async def run():
        strategy, world = make_strategy(chosen), UnsureWorld()
        book: list[Told] = []
        asks = strategy.ask()
        while asks:
            ask = asks.pop(order.randrange(len(asks)))
            found = await expand(
                world,
                PROBLEM,
                chosen,
                strategy.tree.steps_to(ask.node),
                key=strategy.tree[ask.node].key,
                num_candidates=ask.num_candidates,
            )
            book.append(Told(node=ask.node, children=found.children, dropped=found.dropped))
            for told in (book[-1], book[-1], order.choice(book)):
                strategy.tell(told.node, told.children, told.dropped)
            asks += strategy.ask()
            strategy.tree.check()
        return strategy, book

    strategy, book = asyncio.run(run())
    assert strategy.asked == []
    again = make_strategy(chosen)
    assert replay(again, book) == []
    assert [again.tree[i] for i in again.tree.ids()] == [
        strategy.tree[i] for i in strategy.tree.ids()
    ]
    assert again.backups == strategy.backups

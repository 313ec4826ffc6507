"""Independent trajectories over a shared tree."""

from __future__ import annotations

from rstar_searcher.settings import Mode, SearchSettings, Strategy
from rstar_searcher.strategies import Strategy as Search
from rstar_searcher.strategies import make_strategy
from rstar_searcher.tree import ROOT
from tests.unit.searcher.test_mcts import right, step


def sampling(**settings: object) -> Search:
    defaults: dict[str, object] = {
        "strategy": Strategy.BEST_OF_N,
        "mode": Mode.TERMINAL_GUIDED,
        "rollouts": 8,
    }
    return make_strategy(SearchSettings(**(defaults | settings)))  # type: ignore[arg-type]


def test_all_trajectories_go_on_at_once():
    search = sampling()
    assert [ask.num_candidates for ask in search.ask()] == [8]
    search.tell(ROOT, [step(i) for i in range(8)], [])
    assert len(search.ask()) == 8


def test_a_search_for_the_first_right_answer_goes_on_a_few_at_a_time():
    search = sampling(stop_after_right=1, parallel_rollouts=2)
    search.ask()
    search.tell(ROOT, [step(i) for i in range(8)], [])
    first, second = search.ask()
    assert search.ask() == []
    search.tell(first.node, [step(0)], [])
    assert len(search.ask()) == 1
    search.tell(second.node, [right(0)], [])
    assert search.solved
    assert search.ask() == []

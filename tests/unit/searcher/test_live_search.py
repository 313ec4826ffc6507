"""A search that was taken from another searcher."""

from __future__ import annotations

from rstar.v1 import types_pb2
from rstar_searcher.journal import History
from rstar_searcher.live import LiveSearch
from rstar_searcher.meter import Meter
from rstar_searcher.services import Problem
from rstar_searcher.settings import SearchSettings
from rstar_searcher.strategies import make_strategy


async def test_what_others_spent_on_a_search_is_not_counted_again():
    settings = SearchSettings()
    search = LiveSearch("s", Problem(question="?"), settings, make_strategy(settings), Meter())
    search.resume(History(told=[], cost=types_pb2.Cost(generated_tokens=100, rollouts=2)))
    assert search.meter.generated_tokens == 100
    assert not any(search.spent_here().values())
    search.meter.generated_tokens += 50
    search.meter.sandbox_seconds += 0.5
    spent = search.spent_here()
    assert (spent["generated_tokens"], spent["sandbox_seconds"], spent["rollouts"]) == (50, 0.5, 0)

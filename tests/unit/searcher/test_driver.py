"""The driver over every strategy, against a scripted world."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest

from rstar_common.errors import InvalidInput, Unavailable
from rstar_searcher.driver import EndedBy, drive
from rstar_searcher.meter import Meter
from rstar_searcher.results import best_so_far
from rstar_searcher.selection import trajectories
from rstar_searcher.services import Problem
from rstar_searcher.settings import Mode, SearchSettings, Strategy
from rstar_searcher.strategies import Told, make_strategy, replay
from rstar_searcher.tree import ROOT
from tests.support.toy_world import ToyWorld

PROBLEM = Problem(question="toy?", reference="3")


async def searched(world: ToyWorld, cancel: asyncio.Event | None = None, **settings):
    chosen = SearchSettings(**settings).checked().normalized()
    strategy = make_strategy(chosen)
    ended = await drive(
        strategy,
        PROBLEM,
        chosen,
        world,
        world.meter,
        cancel=cancel or asyncio.Event(),
        on_progress=lambda _: None,
    )
    return strategy, ended


def shape(strategy):
    tree = strategy.tree
    return {
        tree[i].key: (tree[i].visits, round(tree[i].value_sum, 9), tree[i].terminal)
        for i in tree.ids()
    }


def nodes(strategy):
    """Every node in the order of its making, and the rollouts in theirs."""
    tree = strategy.tree
    made = [(tree[i].parent, tree[i].key, tree[i].visits, tree[i].value_sum) for i in tree.ids()]
    return made, strategy.backups


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("mode", list(Mode))
async def test_every_strategy_ends_in_every_mode(strategy, mode):
    found, _ended = await searched(ToyWorld(), strategy=strategy, mode=mode, rollouts=12)
    found.tree.check()
    assert not found.asked
    assert all(found.tree[i].pending == 0 for i in found.tree.ids())


@pytest.mark.parametrize("parallel", [1, 4, 16])
async def test_every_rollout_is_counted_and_none_is_left_pending(parallel):
    rng = Random(parallel)
    world = ToyWorld(delay=lambda: rng.random() / 1000)
    strategy, ended = await searched(
        world, mode=Mode.TERMINAL_GUIDED, rollouts=24, parallel_rollouts=parallel
    )
    strategy.tree.check()
    assert ended is EndedBy.ROLLOUTS
    assert strategy.tree[ROOT].visits == 24
    assert strategy.tree[ROOT].pending == 0
    assert len(world.proposed) == len(set(world.proposed)), "a leaf was expanded twice"


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("trees", [1, 3])
async def test_a_sequential_search_does_not_depend_on_timing(strategy, trees):
    rng = Random(1)
    slow = ToyWorld(delay=lambda: rng.random() / 500)
    same = {"strategy": strategy, "trees": trees, "rollouts": 12, "parallel_rollouts": 1}
    first, _ = await searched(ToyWorld(), **same)
    second, _ = await searched(slow, **same)
    assert nodes(first) == nodes(second)


async def test_another_seed_gives_another_tree():
    first, _ = await searched(ToyWorld(), seed=1)
    second, _ = await searched(ToyWorld(), seed=2)
    assert shape(first) != shape(second)


async def test_candidates_with_the_same_text_are_merged_before_any_cost():
    world = ToyWorld(choices=1)
    strategy, _ = await searched(world, rollouts=1, parallel_rollouts=1, candidates=8)
    children = [strategy.tree[i] for i in strategy.tree[ROOT].children]
    assert [child.step.multiplicity for child in children] == [8]
    assert world.meter.sandbox_runs == len(world.proposed)


async def test_majority_counts_every_sample():
    strategy, _ = await searched(ToyWorld(), strategy=Strategy.MAJORITY, rollouts=40)
    ended = sum(found.count for found in trajectories(strategy.tree))
    assert 10 < ended <= 40


@pytest.mark.parametrize(
    ("budget", "ending"),
    [
        ({"max_generated_tokens": 200}, EndedBy.GENERATED_TOKENS),
        ({"max_sandbox_seconds": 0.2}, EndedBy.SANDBOX_SECONDS),
    ],
)
async def test_an_exhausted_budget_ends_the_search_with_the_best_so_far(budget, ending):
    world = ToyWorld(depth=8)
    strategy, ended = await searched(world, rollouts=500, **budget)
    assert ended is ending
    strategy.tree.check()
    assert len(strategy.tree) > 1


async def test_wall_time_ends_a_search_that_waits():
    world = ToyWorld(gate=asyncio.Event())
    strategy, ended = await searched(world, max_wall_seconds=0.05)
    assert ended is EndedBy.WALL_TIME
    assert world.in_flight == 0, "what was asked of the policy is taken back"
    assert len(strategy.tree) == 1


async def test_cancel_frees_the_services_at_once():
    world, cancel = ToyWorld(gate=asyncio.Event()), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        search = group.create_task(searched(world, cancel))
        await world.entered.wait()
        assert world.in_flight == 1
        cancel.set()
    assert search.result()[1] is EndedBy.CANCEL
    assert world.in_flight == 0


@pytest.mark.parametrize("how", ["cancel", "wall time"])
async def test_a_service_that_fails_when_it_is_taken_back_fails_no_search_that_is_over(how):
    class Grumbling(ToyWorld):
        async def propose(self, question, path, options):
            try:
                return await super().propose(question, path, options)
            except asyncio.CancelledError:
                raise Unavailable("policy: gone") from None

    world, cancel = Grumbling(gate=asyncio.Event()), asyncio.Event()
    seconds = 1.0 if how == "wall time" else 60.0
    async with asyncio.TaskGroup() as group:
        search = group.create_task(searched(world, cancel, max_wall_seconds=seconds))
        await world.entered.wait()
        if how == "cancel":
            cancel.set()
    assert search.result()[1] is (EndedBy.CANCEL if how == "cancel" else EndedBy.WALL_TIME)


async def test_a_failed_service_is_an_error_and_never_a_value():
    class Broken(ToyWorld):
        async def execute(self, path, siblings, *, seed):
            raise Unavailable("sandbox: gone")

    with pytest.raises(Unavailable, match="gone"):
        await searched(Broken())


async def test_an_expansion_whose_call_was_cancelled_by_nobody_here_fails_the_search():
    class Closing(ToyWorld):
        async def propose(self, question, path, options):
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()  # as a channel that is closed under a call
            return await gone

    with pytest.raises(Unavailable):
        await searched(Closing(), rollouts=4, max_wall_seconds=30.0)


async def test_a_search_is_resumed_by_telling_it_again_what_it_was_told():
    settings = SearchSettings(rollouts=12, parallel_rollouts=4, mode=Mode.TERMINAL_GUIDED)
    told: list[Told] = []

    class Book:
        def told(self, entry, meter):
            told.append(entry)

        async def room(self):
            pass

    whole = make_strategy(settings)
    await drive(
        whole,
        PROBLEM,
        settings,
        ToyWorld(),
        Meter(),
        cancel=asyncio.Event(),
        on_progress=lambda _: None,
        ledger=Book(),
    )
    for cut in (0, 1, len(told) // 2, len(told)):
        resumed = make_strategy(settings)
        asks = replay(resumed, told[:cut])
        resumed.tree.check()
        assert [ask.node for ask in asks] == resumed.asked
        assert all(entry.node in resumed.asked for entry in told[cut : cut + 1])
        await drive(
            resumed,
            PROBLEM,
            settings,
            ToyWorld(),
            Meter(),
            cancel=asyncio.Event(),
            on_progress=lambda _: None,
            under_way=asks,
        )
        resumed.tree.check()
        assert len(resumed.backups) == settings.rollouts
        assert cut < len(told) or shape(resumed) == shape(whole)


async def test_a_server_without_a_ppm_asks_none_and_votes():
    class NoPpm(ToyWorld):
        async def score(self, question, path, siblings):
            raise AssertionError("there is no PPM")

    strategy, ended = await searched(NoPpm(), ppm=False, rollouts=8)
    assert ended is EndedBy.ROLLOUTS
    assert best_so_far(strategy.tree, SearchSettings(ppm=False)) is not None


async def test_a_step_too_long_for_the_ppm_is_worth_least_and_costs_only_itself():
    class ShortSighted(ToyWorld):
        async def score(self, question, path, siblings):
            if any(sibling.candidate.text.endswith(".0") for sibling in siblings):
                raise InvalidInput("too long", field="path")
            return await super().score(question, path, siblings)

    strategy, _ = await searched(ShortSighted(), rollouts=8, candidates=8)
    steps = [step for i in strategy.tree.ids() if (step := strategy.tree[i].step)]
    unreadable = [step.ppm_score for step in steps if step.candidate.text.endswith(".0")]
    assert unreadable
    assert set(unreadable) == {-1.0}
    assert any(step.ppm_score != -1.0 for step in steps)
    strategy.tree.check()


async def test_a_program_that_prints_a_book_states_no_answer():
    class Verbose(ToyWorld):
        async def execute(self, path, siblings, *, seed):
            outcomes, version = await super().execute(path, siblings, seed=seed)
            if len(path) + 1 >= self.depth:
                outcomes = [replace(outcome, stdout="9" * 5000) for outcome in outcomes]
            return outcomes, version

    strategy, _ = await searched(Verbose(), rollouts=4)
    assert not trajectories(strategy.tree)
    assert strategy.tree.dropped

"""The benchmark's judges judge the same work, and the searcher does it too."""

from __future__ import annotations

import asyncio
import hashlib
from xml.etree import ElementTree

import pytest

from rstar_searcher.bench.driven import comparison_settings, run_driver, search_all
from rstar_searcher.bench.early_part import measure_early
from rstar_searcher.bench.parameters import BASE, HEAVY_TAIL, PROBLEMS, ROLLOUTS
from rstar_searcher.bench.schedules import ideal, lock_step
from rstar_searcher.bench.solved_part import measure_solved, wilson
from rstar_searcher.bench.virtual_time import run_in_virtual_time
from rstar_searcher.bench.world import unit

FEW = {"problems": 6, "rollouts": 3}


def test_chance_is_a_hash_of_what_is_asked():
    digest = hashlib.sha256(b"1|ppm|7|r.3.1").digest()
    assert unit("ppm", 7, "r.3.1") == (int.from_bytes(digest[:8], "big") + 0.5) / 2**64


def test_the_ideal_schedule_does_the_agreed_work_in_the_agreed_time():
    schedule = run_in_virtual_time(ideal(BASE, problems=PROBLEMS, rollouts=ROLLOUTS))
    assert schedule.digest == "3357c98b5d797af8"
    assert (schedule.expansions, schedule.sequences) == (5_593, 44_744)
    assert (schedule.tokens, schedule.answers) == (3_210_274, 1_024)
    assert schedule.seconds == pytest.approx(825, abs=5)
    assert schedule.busy == pytest.approx(0.97, abs=0.01)


def test_the_driver_with_one_rollout_at_a_time_is_the_ideal_schedule():
    best = run_in_virtual_time(ideal(BASE, **FEW))
    driven = run_in_virtual_time(
        run_driver(BASE, comparison_settings(rollouts=FEW["rollouts"]), pids=range(6))
    )
    assert driven.schedule == best


@pytest.mark.parametrize("reexecute", [False, True])
def test_lock_step_does_the_same_work_and_takes_longer(reexecute):
    best = run_in_virtual_time(ideal(BASE, **FEW))
    barrier = run_in_virtual_time(lock_step(BASE, reexecute=reexecute, **FEW))
    assert barrier.digest == best.digest
    assert barrier.right == best.right
    assert barrier.seconds > best.seconds


@pytest.mark.parametrize("parallel", [2, 8])
def test_parallel_rollouts_expand_no_node_twice_and_take_less_time(parallel):
    one = run_in_virtual_time(run_driver(BASE, comparison_settings(rollouts=8), pids=[0]))
    many = run_in_virtual_time(
        run_driver(BASE, comparison_settings(rollouts=8, parallel=parallel), pids=[0])
    )
    assert many.schedule.answers == one.schedule.answers == 8
    assert many.schedule.expansions == many.schedule.sequences // 8
    assert many.schedule.seconds < one.schedule.seconds


def test_with_enough_candidates_the_same_tree_comes_whatever_else_the_engine_does():
    def trees(pids):
        settings = comparison_settings(rollouts=3, enough=5)
        return run_in_virtual_time(search_all(HEAVY_TAIL, settings, pids))

    [alone] = trees([1])
    # Sixty others: candidates of one node begin at different times now, as places get free.
    beside = trees(range(60))[1]
    told = [
        [
            (node.key, node.visits, node.value_sum)
            for node in map(one.tree.__getitem__, one.tree.ids())
        ]
        for one in (alone, beside)
    ]
    assert told[0] == told[1]
    dropped = [(node, each.candidate.text) for node, each in alone.tree.dropped]
    assert dropped
    assert dropped == [(node, each.candidate.text) for node, each in beside.tree.dropped]


def test_early_ends_of_siblings_find_the_same_right_answers_in_less_time(tmp_path):
    figure = tmp_path / "curve.svg"
    report = measure_early(HEAVY_TAIL, problems=2, rollouts=3, curve=figure)
    rows = {(row["candidates"], row["parallel_rollouts"]): row for row in report["rows"]}
    for parallel in (1, 2, 4, 8):
        assert rows["6 of 8", parallel]["seconds"] < rows["all of 8", parallel]["seconds"]
        assert rows["6 of 8", parallel]["tokens"] < rows["all of 8", parallel]["tokens"]
    assert rows["all of 8", 1]["times_as_fast"] == 1.0
    lines = ElementTree.fromstring(figure.read_text()).findall("{*}polyline")
    assert len(lines) == 8


def test_the_solved_share_is_compared_on_the_same_problems_with_its_uncertainty():
    report = measure_solved(BASE, problems=12, rollouts=2)
    one, *others = report["rows"]
    assert [row["parallel_rollouts"] for row in (one, *others)] == [1, 2, 4, 8]
    assert (one["difference_to_one"], one["difference_interval"]) == (0.0, [0.0, 0.0])
    for row in others:
        low, high = row["difference_interval"]
        assert low <= row["difference_to_one"] <= high
        assert row["difference_to_one"] == pytest.approx(row["solved"] - one["solved"], abs=1e-3)
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)


def test_a_deadlock_in_virtual_time_is_an_error_not_a_hang():
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_in_virtual_time(forever())

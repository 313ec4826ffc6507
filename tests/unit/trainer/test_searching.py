"""By what the searches of a round are made, whatever happened before."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rstar.v1 import evolution_pb2, searcher_pb2, types_pb2
from rstar_common.artifacts import dataset_key
from rstar_common.errors import NotFound
from rstar_trainer.evolution.problems import PastResult, PoolProblem
from rstar_trainer.evolution.searching import Material, Searching
from rstar_trainer.lessons import REFUSED


class Given:
    """Orders as they are given; the first search was through before the run failed."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.store = self

    async def get(self, key: str) -> bytes:
        return b"p\n"

    async def each_result(self, batch_id: str) -> AsyncIterator[None]:
        return
        yield

    async def is_done(self, run: evolution_pb2.Run, what: str) -> bool:
        return what == "search"

    async def serve(self, model: str, version: str) -> None:
        self.log.append((model, version))

    async def searched(self, run, what, *_, **__) -> searcher_pb2.Batch:
        self.log.append(("searched", what))
        return searcher_pb2.Batch(batch_id=what)


class Kept:
    """A store of a few objects."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)
        self.store = self

    async def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(key)
        return self.objects[key]

    async def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data


@pytest.mark.parametrize("told", [True, False], ids=["told", "of a release ago"])
async def test_what_the_last_policy_was_refused_is_searched_again(
    told: bool, monkeypatch: pytest.MonkeyPatch
):
    async def past_results(*_: object) -> dict[str, PastResult]:
        return {name: PastResult(right=1, answered=3) for name in "abc"}

    monkeypatch.setattr("rstar_trainer.evolution.searching.past_results", past_results)
    problems = [
        PoolProblem(pool="t", problem=types_pb2.Problem(problem_id=name, question=f"{name}?"))
        for name in "abcd"
    ]
    material = Material(problems=problems, sets={}, excluded=frozenset())
    run = evolution_pb2.Run(run_id="r")
    for number in range(3):
        run.recipe.rounds.add(problems=2, max_unsolved_share=0.5, prefer_new=True)
        trained = {"policy_job": f"r-r{number}-policy", "policy_version": f"policy-{number}"}
        run.rounds.add(round=number, batch_id=f"r/r{number}/search", **trained)
    run.rounds[2].ClearField("policy_job")
    run.rounds[2].policy_version = "policy-of-somebody-else"
    kept = Kept()
    if told:
        kept.objects = {
            dataset_key("policy-0", REFUSED): b"a\n",
            dataset_key("policy-1", REFUSED): b"b\n",
        }
    await Searching(kept, kept, kept, material, lambda *_: None).choose(run)
    [chosen] = [data for key, data in kept.objects.items() if key.endswith("problems.txt")]
    assert chosen == (b"d\nb\n" if told else b"d\na\n")


@pytest.mark.parametrize("by_random_programs", [False, True])
async def test_a_second_search_is_by_what_it_was_to_be_by_after_a_failure_too(
    by_random_programs: bool, monkeypatch: pytest.MonkeyPatch
):
    async def past_results(*_: object) -> dict[str, PastResult]:
        return {"p": PastResult(right=0, answered=3)}

    monkeypatch.setattr("rstar_trainer.evolution.searching.past_results", past_results)
    given = Given()
    problem = PoolProblem(pool="t", problem=types_pb2.Problem(problem_id="p", question="q"))
    material = Material(problems=[problem], sets={}, excluded=frozenset())
    run = evolution_pb2.Run(run_id="r", attempts=1)
    round_ = run.recipe.rounds.add(second_bootstrap=by_random_programs)
    round_.second_search.rollouts = 4
    run.rounds.add(
        round=0, search_policy="a", search_ppm="b", batch_id="r/r0/search", problems_key="k"
    )
    await Searching(given, given, given, material, lambda *_: None).search(
        run, evolution_pb2.PlannedRound()
    )
    assert given.log == [
        ("searched", "search"),
        ("policy", "bootstrap" if by_random_programs else "a"),
        ("ppm", "b"),
        ("searched", "second"),
    ]

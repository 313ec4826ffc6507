"""Whose turn it is, what is served meanwhile, and what is served when a run has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from rstar.v1 import evolution_pb2
from rstar_common.checkpoints import Manifest
from rstar_common.errors import InvalidInput, NotFound, Unavailable
from rstar_trainer.evolution.controller import Evolution
from rstar_trainer.evolution.driving import Driver
from rstar_trainer.evolution.serving import leave_place, take_place
from tests.support.eventually import eventually

STATES = evolution_pb2.RunState


@dataclass
class Records:
    """Run records in memory; a write takes a while."""

    kept: dict[str, evolution_pb2.Run] = field(default_factory=dict)

    def get(self, run_id: str) -> evolution_pb2.Run:
        run = evolution_pb2.Run()
        run.CopyFrom(self.kept[run_id])
        return run

    def all(self) -> list[evolution_pb2.Run]:
        return [self.get(run_id) for run_id in self.kept]

    async def save(self, run: evolution_pb2.Run) -> None:
        await asyncio.sleep(0)
        self.kept[run.run_id] = evolution_pb2.Run()
        self.kept[run.run_id].CopyFrom(run)

    def note(self, run_id: str, *, stage: str, **_: float) -> None:
        self.kept[run_id].stage = stage

    def close(self) -> None: ...


@dataclass
class Served:
    """What everybody is served; every version is in the store."""

    now: dict[str, str] = field(default_factory=lambda: {"policy": "before", "ppm": ""})
    away: int = 0
    """Times the store is not there."""

    @property
    def store(self) -> Served:
        return self

    async def get(self, key: str) -> bytes:
        if self.away:
            self.away -= 1
            raise Unavailable("the store is away")
        _, model, version, _ = key.split("/")
        if version == "gone":
            raise NotFound(key)
        return Manifest(model=model, version=version, prompt_format="mini", files={}).to_json()

    async def promoted_or_none(self, model: str) -> str:
        await asyncio.sleep(0)
        return self.now[model]

    async def place(self, manifest: Manifest) -> None:
        await asyncio.sleep(0)
        self.now[manifest.model] = manifest.version


@dataclass
class Searchers:
    """Batches that were cancelled; the call may hang."""

    cancelled: list[str] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def cancel_batch(self, batch_id: str) -> None:
        await self.answers.wait()
        self.cancelled.append(batch_id)


@dataclass
class World:
    runs: Records = field(default_factory=Records)
    served: Served = field(default_factory=Served)
    searchers: Searchers = field(default_factory=Searchers)

    def add(self, run_id: str, **fields: object) -> None:
        run = evolution_pb2.Run(run_id=run_id, state=STATES.RUN_STATE_RUNNING, **fields)
        run.recipe.rounds.add(bootstrap=True)
        run.rounds.add(round=0, batch_id=f"{run_id}/r0/search")
        self.runs.kept[run_id] = run

    def state(self, run_id: str) -> str:
        return STATES.Name(self.runs.kept[run_id].state).removeprefix("RUN_STATE_").lower()

    @asynccontextmanager
    async def trainer(self) -> AsyncIterator[Evolution]:
        @asynccontextmanager
        async def tiers() -> AsyncIterator[Searchers]:
            yield self.searchers

        async def cancel_job(_: str) -> None:
            raise NotFound("no such job")

        evolution = Evolution(self.runs, self.served, None, tiers, cancel_job)  # type: ignore[arg-type]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(evolution.run(stop))
            try:
                yield evolution
            finally:
                stop.set()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Every run puts its candidate in place and searches for ever."""
    made = World()
    made.searchers.answers.set()

    async def carry_out(driver: Driver, run_id: str) -> None:
        made.served.now["policy"] = f"candidate of {run_id}"
        await asyncio.Event().wait()

    monkeypatch.setattr(Driver, "_carry_out", carry_out)
    return made


async def searches(world: World, run_id: str) -> None:
    await eventually(lambda: world.served.now["policy"] == f"candidate of {run_id}", seconds=5)


async def test_a_run_that_is_cancelled_leaves_before_the_next_begins(world: World):
    world.add("a")
    world.add("b")
    async with world.trainer() as evolution:
        await searches(world, "a")
        assert "waiting" in world.runs.kept["b"].stage
        assert (await evolution.cancel("a")).state == STATES.RUN_STATE_CANCELLED
        await searches(world, "b")
        assert world.runs.kept["b"].policy_before == "before"
        await evolution.cancel("b")
    assert world.served.now["policy"] == "before"
    assert [name[0] for name in sorted(set(world.searchers.cancelled))] == ["a", "a", "b", "b"]


async def test_a_run_that_waits_takes_nothing_from_the_one_that_searches(world: World):
    world.add("a")
    world.add("b")
    async with world.trainer() as evolution:
        await searches(world, "a")
        await evolution.cancel("b")
        assert world.state("b") == "cancelled"
        assert world.served.now["policy"] == "candidate of a"


async def test_after_a_death_the_run_that_was_searching_goes_on_first(world: World):
    world.add("older")
    world.add("younger")
    world.runs.kept["younger"].policy_before = "before"
    world.served.now["policy"] = "candidate of younger"
    async with world.trainer() as evolution:
        await eventually(lambda: "waiting" in world.runs.kept["older"].stage, seconds=5)
        await evolution.cancel("younger")
        assert world.served.now["policy"] in ("before", "candidate of older")
        await searches(world, "older")
        assert world.runs.kept["older"].policy_before == "before"


async def test_a_cancel_that_a_death_cut_off_is_made_good_at_the_next_start(world: World):
    world.add("a")
    world.searchers.answers.clear()
    async with world.trainer() as evolution, asyncio.TaskGroup() as group:
        await searches(world, "a")
        asked = group.create_task(evolution.cancel("a"))
        await eventually(lambda: world.state("a") == "cancelled", seconds=5)
        asked.cancel()
    assert world.served.now["policy"] == "candidate of a"
    world.searchers.answers.set()
    async with world.trainer():
        await eventually(lambda: world.served.now["policy"] == "before", seconds=5)
        await eventually(lambda: not world.runs.kept["a"].HasField("policy_before"), seconds=5)
    assert "a/r0/search" in world.searchers.cancelled


@pytest.mark.parametrize("error", [InvalidInput("a bad recipe", field="rounds"), ValueError("bug")])
async def test_what_goes_wrong_ends_the_run_and_not_the_trainer(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    async def carry_out(driver: Driver, run_id: str) -> None:
        world.served.now["policy"] = f"candidate of {run_id}"
        if run_id == "a":
            world.served.away = 1  # just when it is to be ended
            raise error
        await asyncio.Event().wait()

    monkeypatch.setattr(Driver, "_carry_out", carry_out)
    monkeypatch.setattr("rstar_trainer.evolution.driving.RETRY_SECONDS", 0.0)
    world.add("a")
    world.add("b")
    async with world.trainer():
        await searches(world, "b")
        assert world.state("a") == "failed"
        failure = world.runs.kept["a"].failure
        assert failure.message in ("rounds: a bad recipe", "internal error: ValueError")
        assert world.runs.kept["b"].policy_before == "before"


async def test_what_is_served_is_noted_once_and_put_back_once() -> None:
    served, run = Served(), evolution_pb2.Run()
    await take_place(served, run)
    served.now |= {"policy": "candidate"}
    await take_place(served, run)
    assert (run.policy_before, run.ppm_before) == ("before", "")
    await leave_place(served, run)
    assert served.now == {"policy": "before", "ppm": ""}
    served.now["policy"] = "of somebody else"
    await leave_place(served, run)
    assert served.now["policy"] == "of somebody else"


async def test_what_is_gone_from_the_store_is_not_waited_for() -> None:
    served, run = Served(), evolution_pb2.Run()
    run.policy_before, run.ppm_before = "gone", ""
    served.now["policy"] = "candidate"
    await leave_place(served, run)
    assert not run.HasField("policy_before")
    served.away, run.policy_before = 1, "before"
    with pytest.raises(Unavailable):
        await leave_place(served, run)
    assert run.HasField("policy_before")

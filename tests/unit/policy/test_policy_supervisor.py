"""The SGLang engine and its supervisor, on generators that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from rstar_common.errors import InvalidInput, Unavailable
from rstar_common.formats import Marker, PromptStep, StepKind
from rstar_common.rpc import Readiness
from rstar_policy.engine import Query, candidate_seed
from rstar_policy.sglang_engine import SglangEngine
from rstar_policy.solution import solution
from rstar_policy.supervisor import MAX_STARTS, Supervisor
from tests.support.eventually import eventually
from tests.support.policy_scripted import ScriptedLauncher, scripted_checkpoint, token_ids

SCRIPT = token_ids("x = 1", Marker.END_OF_STEP)


def query(*, candidates: int = 2, question: str = "q", path=(), max_tokens: int = 64) -> Query:
    return Query(
        question=question,
        path=path,
        num_candidates=candidates,
        temperature=1.0,
        top_p=1.0,
        seed=5,
        max_tokens=max_tokens,
    )


class World:
    """A supervised engine on scripted servers."""

    def __init__(self, *, drain_seconds: float) -> None:
        self.launcher = ScriptedLauncher(SCRIPT)
        self.readiness = Readiness()
        self.supervisor = Supervisor(
            self.launcher,
            readiness=self.readiness,
            swap_drain_seconds=drain_seconds,
            restart_seconds=[0.01],
            health_seconds=0.01,
        )
        self.engine = SglangEngine(self.supervisor)

    @property
    def generator(self):
        return self.launcher.started[-1]

    async def served(self, version: str) -> None:
        await eventually(
            lambda: self.readiness.ready and self.engine.info().policy_version == version
        )


@asynccontextmanager
async def world(version: str = "v1", *, drain_seconds: float = 60.0) -> AsyncGenerator[World]:
    one = World(drain_seconds=drain_seconds)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(one.supervisor.run(stop))
        if version:
            one.supervisor.want(scripted_checkpoint(version))
            await one.served(version)
        yield one
        stop.set()


async def test_each_candidate_has_its_own_seed_on_one_prompt():
    async with world() as one:
        proposal = await one.engine.propose(query(candidates=3))
        [(_, sampling)] = one.generator.calls
        assert sampling.seeds == [candidate_seed(5, index) for index in range(3)]
        assert [c.seed for c in proposal.candidates] == list(sampling.seeds)
        assert [c.text for c in proposal.candidates] == ["x = 1"] * 3
        assert list(proposal.candidates[0].token_ids) == SCRIPT
        assert proposal.usage.generated_tokens == 3 * len(SCRIPT)


async def test_the_steps_of_a_solution_stand_in_the_next_prompt_token_by_token():
    async with world() as one:
        steps = (await solution(one.engine.propose, query(candidates=1), max_steps=3)).candidates
        first, *later = [prompt for prompt, _ in one.generator.calls]
        assert later == [first + SCRIPT, first + SCRIPT + SCRIPT]
        assert [step.text for step in steps] == ["x = 1"] * 3


async def test_a_solution_ends_with_a_step_that_found_no_room():
    async with world() as one:
        steps = (await solution(one.engine.propose, query(candidates=1), max_steps=250)).candidates
        assert [step.complete for step in steps] == [True] * (len(steps) - 1) + [False]
        assert len(steps) < 250


async def test_before_a_checkpoint_is_promoted_calls_are_unavailable():
    async with world("") as one:
        with pytest.raises(Unavailable, match="promoted"):
            await one.engine.propose(query())
        with pytest.raises(Unavailable):
            one.engine.info()
        assert not one.readiness.ready


async def test_a_swap_changes_weights_in_place_and_the_label_with_them():
    async with world() as one:
        one.supervisor.want(scripted_checkpoint("v2"))
        await one.served("v2")
        proposal = await one.engine.propose(query())
        assert {c.policy_version for c in proposal.candidates} == {"v2"}
        assert len(one.launcher.started) == 1
        assert one.generator.updates == ["v2"]


async def test_samples_cut_off_by_a_swap_are_taken_again_with_the_new_weights():
    async with world(drain_seconds=0) as one:
        one.generator.gate.clear()
        call = asyncio.ensure_future(one.engine.propose(query()))
        await one.generator.entered.wait()
        one.supervisor.want(scripted_checkpoint("v2"))
        await one.served("v2")
        one.generator.gate.set()
        proposal = await call
        assert {c.policy_version for c in proposal.candidates} == {"v2"}
        assert all(c.complete for c in proposal.candidates)
        assert proposal.usage.retries == 1
        # The thrown-away token of each candidate is paid for too.
        assert proposal.usage.generated_tokens == 2 * (1 + len(SCRIPT))


async def test_a_running_sample_may_finish_before_the_swap():
    async with world() as one:
        one.generator.gate.clear()
        call = asyncio.ensure_future(one.engine.propose(query()))
        await one.generator.entered.wait()
        one.supervisor.want(scripted_checkpoint("v2"))
        await asyncio.sleep(0)
        one.generator.gate.set()
        assert {c.policy_version for c in (await call).candidates} == {"v1"}
        await one.served("v2")


async def test_another_architecture_takes_a_new_server_and_calls_wait_for_it():
    async with world() as one:
        one.supervisor.want(scripted_checkpoint("big", architecture="b"))
        call = asyncio.ensure_future(one.engine.propose(query()))
        # Asked before or during the restart, the call does not fail.
        assert {c.policy_version for c in (await call).candidates} <= {"v1", "big"}
        await one.served("big")
        assert len(one.launcher.started) == 2
        assert (await one.engine.propose(query())).candidates[0].policy_version == "big"


async def test_a_dead_server_fails_its_calls_and_is_started_again():
    async with world() as one:
        dead = one.generator
        dead.gate.clear()
        call = asyncio.ensure_future(one.engine.propose(query()))
        await dead.entered.wait()
        dead.down.set()
        with pytest.raises(Unavailable):
            await call
        await eventually(lambda: one.generator is not dead and one.readiness.ready)
        assert (await one.engine.propose(query())).candidates[0].complete


async def test_a_server_that_hangs_without_dying_is_replaced():
    async with world() as one:
        stuck = one.generator
        stuck.gate.clear()
        call = asyncio.ensure_future(one.engine.propose(query()))
        await stuck.entered.wait()
        stuck.hangs = True
        await eventually(lambda: one.generator is not stuck and one.readiness.ready)
        assert (await one.engine.propose(query())).candidates[0].complete
        call.cancel()


async def test_a_checkpoint_that_never_starts_gives_way_to_the_last_good_one():
    async with world() as one:
        one.launcher.failures["bad"] = MAX_STARTS
        one.supervisor.want(scripted_checkpoint("bad", architecture="b"))
        await eventually(lambda: one.launcher.failures["bad"] == 0)
        await one.served("v1")


async def test_a_service_that_never_came_up_ends_with_the_reason():
    one = World(drain_seconds=0)
    one.launcher.failures["bad"] = MAX_STARTS
    one.supervisor.want(scripted_checkpoint("bad"))
    with pytest.raises(Unavailable, match="bad does not start"):
        await one.supervisor.run(asyncio.Event())


async def test_a_step_is_no_longer_than_asked_nor_than_the_context_allows():
    async with world() as one:
        await one.engine.propose(query(max_tokens=7))
        await one.engine.propose(query(max_tokens=10_000))
        (_, short), (prompt, long) = one.generator.calls
        assert short.max_new_tokens == 7
        assert len(prompt) + long.max_new_tokens < 256


async def test_a_question_longer_than_the_context_is_the_callers_mistake():
    async with world() as one:
        with pytest.raises(InvalidInput) as failure:
            await one.engine.propose(query(question="q" * 300))
        assert failure.value.field == "question"


async def test_a_path_that_fills_the_context_yields_incomplete_candidates():
    async with world() as one:
        path = (PromptStep(text="x" * 300, kind=StepKind.CODE),)
        proposal = await one.engine.propose(query(path=path, candidates=4))
        assert [c.complete for c in proposal.candidates] == [False] * 4
        assert one.generator.calls == []

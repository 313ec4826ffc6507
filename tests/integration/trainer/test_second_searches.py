"""Random programs search what a policy left unsolved: what is served meanwhile, and afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from rstar.v1 import evolution_pb2, trainer_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.config import ObjectStoreSettings
from tests.support.eventually import eventually
from tests.support.evolution_runs import HARDER, recipe, trainer, with_a_hard_problem
from tests.support.evolution_world import EvolutionWorld, eventually_serves, evolution_world
from tests.support.servers import nats_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """A run whose second round was searched by its policy, then by random programs."""

    run: evolution_pb2.Run
    world: EvolutionWorld


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mixed(
    tmp_path_factory: pytest.TempPathFactory,
    store: ObjectStore,
    object_store_settings: ObjectStoreSettings,
) -> AsyncIterator[Mixed]:
    made, trees = recipe(rounds=2), await with_a_hard_problem(store)
    made.pools[0].problems_key = HARDER
    made.rounds[1].problems = 0
    made.rounds[1].second_search.rollouts = 16
    made.rounds[1].second_bootstrap = True
    for round_ in made.rounds:
        round_.ClearField("ppm")
    directory = tmp_path_factory.mktemp("mixed")
    async with (
        nats_server(directory / "nats") as nats,
        evolution_world(nats, store, trees) as (world, address),
    ):
        async with trainer(directory, nats, object_store_settings, address) as running:
            await running.runs.StartRun(evolution_pb2.StartRunRequest(run_id="mixed", recipe=made))
            run = await running.ended("mixed")
            # Random programs were in place; what they taught is now.
            await eventually_serves(world, run.rounds[1].policy_version)
        yield Mixed(run=run, world=world)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_random_programs_search_what_a_policy_left(mixed: Mixed):
    run, world = mixed.run, mixed.world
    assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
    first, second = run.rounds
    assert [one.problem_id for one in world.batches["mixed/r1/second"].problems] == ["hard"]
    assert world.served["mixed/r1/search"] == second.search_policy == first.policy_version
    assert world.served["mixed/r1/second"] == second.second_policy == "bootstrap"
    assert world.served["mixed/r1/eval/greedy"] == second.policy_version


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_random_programs_go_on_after_a_death_and_leave_when_the_run_ends(
    tmp_path, nats, store, object_store_settings, mixed: Mixed
):
    version = mixed.run.rounds[0].policy_version
    made, trees = recipe(rounds=1), await with_a_hard_problem(store)
    made.pools[0].problems_key = HARDER
    [round_] = made.rounds
    round_.bootstrap, round_.problems, round_.second_bootstrap = False, 0, True
    round_.second_search.rollouts = 16
    start = evolution_pb2.StartRunRequest(run_id="half", recipe=made)
    async with evolution_world(nats, store, trees) as (world, address):
        world.never_ends = "second"
        async with trainer(tmp_path, nats, object_store_settings, address) as running:
            request = trainer_pb2.PromoteCheckpointRequest(model="policy", version=version)
            await running.jobs.PromoteCheckpoint(request)
            await running.runs.StartRun(start)
            await eventually(lambda: world.published["half/r0/second"] == 1, seconds=60)
            assert world.served["half/r0/search"] == version
            assert world.told[-1] == "bootstrap"
            running.process.kill()
            await running.process.wait()
        world.told.clear()
        async with trainer(tmp_path, nats, object_store_settings, address) as running:
            await eventually(lambda: world.told, seconds=60)
            await running.runs.CancelRun(evolution_pb2.CancelRunRequest(run_id="half"))
            # The policy did not search what is left in between.
            assert set(world.told) == {"bootstrap"}
            await eventually_serves(world, version)

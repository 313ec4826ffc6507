"""Runs of self-evolution on a real queue and store; searchers, models and sandbox scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import grpc
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToJson

from rstar.v1 import evolution_pb2, trainer_pb2, types_pb2
from rstar_common.artifacts import ObjectStore, tree_key
from rstar_common.config import ObjectStoreSettings
from rstar_trainer.evolution.archive import write_archive
from tests.support.eventually import eventually
from tests.support.evolution_runs import HARDER, TREES, recipe, trainer, with_a_hard_problem
from tests.support.evolution_world import EvolutionWorld, eventually_serves, evolution_world
from tests.support.servers import nats_server

PHASES = evolution_pb2.RoundPhase


def check_done_once(world: EvolutionWorld, run: evolution_pb2.Run) -> None:
    """Every batch was published, and none that is not the run's own."""
    expected = [f"{run.run_id}/r{n}/{what}" for n in range(2) for what in ("search", "eval/greedy")]
    assert sorted(world.batches) == sorted(expected)
    searched = [p.problem_id for n in range(2) for p in world.batches[expected[2 * n]].problems]
    assert sorted(searched) == sorted(TREES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that went through its deaths, and what is known of it."""

    run: evolution_pb2.Run
    jobs: list[str]
    world: EvolutionWorld
    address: str
    """Of the world."""

    served: dict[str, str]
    """Versions that the pointers name, by model."""

    archive: list[bytes]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(
    tmp_path_factory: pytest.TempPathFactory,
    store: ObjectStore,
    object_store_settings: ObjectStoreSettings,
) -> AsyncIterator[Ended]:
    """Two rounds by five trainers, of which four were killed, each in another phase of the first.

    The second round is asked for when the first has ended.
    """
    killed_in = [
        PHASES.ROUND_PHASE_SEARCHING,
        PHASES.ROUND_PHASE_TRAINING_POLICY,
        PHASES.ROUND_PHASE_TRAINING_PPM,
        PHASES.ROUND_PHASE_EVALUATING,
    ]
    directory = tmp_path_factory.mktemp("mortal")
    one_round = evolution_pb2.StartRunRequest(run_id="mortal", recipe=recipe(rounds=1))
    start = evolution_pb2.StartRunRequest(run_id="mortal", recipe=recipe(min_accuracy=0.9))
    async with (
        nats_server(directory / "nats") as nats,
        evolution_world(nats, store, TREES) as (world, address),
    ):
        for phase in killed_in:
            async with trainer(directory, nats, object_store_settings, address) as running:
                await running.runs.StartRun(one_round)
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await running.runs.StartRun(start)
                assert "is not through its rounds" in refused.value.details()
                await running.until(
                    "mortal", lambda run, phase=phase: run.rounds and run.rounds[-1].phase >= phase
                )
                running.process.kill()
                await running.process.wait()
        async with trainer(directory, nats, object_store_settings, address) as running:
            run = await running.ended("mortal")
            assert len(run.rounds) == 1
            await running.runs.StartRun(start)
            run = await running.ended("mortal")
            again = await running.runs.StartRun(start)
            assert again.run.created_at == run.created_at
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await running.runs.StartRun(
                    evolution_pb2.StartRunRequest(run_id="mortal", recipe=recipe())
                )
            assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
            jobs = (await running.jobs.ListJobs(trainer_pb2.ListJobsRequest())).jobs
            export = evolution_pb2.ExportRunRequest(run_id="mortal")
            archive = [part.chunk async for part in running.runs.ExportRun(export)]
        served = {name: (await world.pointers.current(name)).version for name in ("policy", "ppm")}
        yield Ended(
            run=run,
            jobs=sorted(job.job_id for job in jobs),
            world=world,
            address=address,
            served=served,
            archive=archive,
        )


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_run_goes_through_deaths_in_every_phase_and_does_nothing_twice(ended: Ended):
    run, world = ended.run, ended.world
    assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
    check_done_once(world, run)
    assert ended.jobs == ["mortal-r0-policy", "mortal-r0-ppm", "mortal-r1-policy"]
    first, second = run.rounds
    assert first.promoted
    assert first.search_policy == "bootstrap"
    assert second.search_policy == first.policy_version != second.policy_version
    # The round that failed its gate was measured with its own models, and did not stay.
    assert world.served["mortal/r1/eval/greedy"] == second.policy_version
    assert not second.promoted
    assert "greedy: 0.500 is below 0.900" in second.decision
    assert ended.served == {"policy": first.policy_version, "ppm": first.ppm_version}
    for name, batch in world.batches.items():
        carries = [problem.HasField("reference") for problem in batch.problems]
        assert carries == ["/eval/" not in name] * len(carries)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_run_whose_batch_was_cancelled_goes_on_and_its_candidates_are_seen_by_nobody(
    tmp_path, nats, store, object_store_settings
):
    made, trees = recipe(rounds=1, min_accuracy=0.1), await with_a_hard_problem(store)
    made.candidates_apart = True
    made.rounds[0].problems = 0
    made.rounds[0].second_search.rollouts = 64
    made.pools[0].problems_key = HARDER
    made.rounds[0].ClearField("ppm")
    # An arm of an ablation, the dull one: it searches nothing and trains nothing.
    await store.put(tree_key("given", "s"), TREES["arithmetic-0"].SerializeToString())
    arm = made.rounds.add(name="one tree", batch_ids=["given"], trial=True)
    arm.evaluations.add(name="greedy", set="held")
    start = evolution_pb2.StartRunRequest(run_id="again", recipe=made)
    channel = {"RSTAR_TRAINER_CHANNEL": "candidates"}
    async with evolution_world(nats, store, trees, channel="candidates") as (world, address):
        world.cancelled.add("again/r0/search")
        codes = grpc.StatusCode
        world.slow_answers = [codes.RESOURCE_EXHAUSTED, codes.DEADLINE_EXCEEDED, codes.UNAVAILABLE]
        async with trainer(tmp_path, nats, object_store_settings, address, **channel) as running:
            await running.runs.StartRun(start)
            run = await running.ended("again")
            assert run.state == evolution_pb2.RUN_STATE_FAILED
            assert "was cancelled" in run.failure.message
            assert not world.slow_answers
            await running.runs.StartRun(start)
            run = await running.ended("again")
        assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
        first, trial = run.rounds
        assert first.batch_id == "again/r0/search-1"
        assert world.published == dict.fromkeys(
            (
                *("again/r0/search", "again/r0/search-1", "again/r0/second"),
                *("again/r0/eval/greedy", "again/r1/eval/greedy"),
            ),
            1,
        )
        # Only what stayed unsolved was searched once more, deeper and with another seed.
        second = world.batches["again/r0/second"]
        assert [one.problem_id for one in second.problems] == ["hard"]
        assert second.settings.rollouts == 64
        assert second.settings.seed != world.batches["again/r0/search-1"].settings.seed
        assert (first.problems, first.solved) == (len(trees), len(TREES))
        # Candidates were measured while everybody else was served what they were served before.
        measured = [f"again/r{number}/eval/greedy" for number in range(2)]
        assert [world.served[name] for name in measured] == [first.policy_version] * 2
        assert [world.promoted[name] for name in measured] == ["bootstrap", first.policy_version]
        assert world.everybody is not None
        assert (await world.everybody.current("policy")).version == first.policy_version
        assert (first.promoted, trial.promoted) == (True, False)
        assert (trial.name, trial.batch_id, trial.decision) == ("one tree", "", "a trial")


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_run_waits_for_another_and_one_that_is_cancelled_takes_its_models_along(
    tmp_path, nats, store, object_store_settings
):
    endless = recipe(rounds=1)
    endless.rounds[0].policy.training.max_steps = 10**6
    async with (
        evolution_world(nats, store, TREES) as (world, address),
        trainer(tmp_path, nats, object_store_settings, address) as running,
    ):
        began_with = (await world.pointers.current("policy")).version
        await running.runs.StartRun(evolution_pb2.StartRunRequest(run_id="a", recipe=endless))
        await running.until("a", lambda run: "training the policy" in run.stage)
        world.never_ends = "/eval/"
        measured = recipe(rounds=1)
        measured.rounds[0].ClearField("ppm")
        await running.runs.StartRun(evolution_pb2.StartRunRequest(run_id="b", recipe=measured))
        # What it put in place would search and answer for the first.
        await running.until("b", lambda run: run.stage == "waiting until another run has ended")
        assert not world.published["b/r0/search"]
        await running.runs.CancelRun(evolution_pb2.CancelRunRequest(run_id="a"))
        [job] = (await running.jobs.ListJobs(trainer_pb2.ListJobsRequest())).jobs
        assert (job.job_id, job.state) == ("a-r0-policy", trainer_pb2.JOB_STATE_CANCELLED)
        await eventually(lambda: world.published["b/r0/eval/greedy"] == 1, seconds=240)
        assert (await world.pointers.current("policy")).version != began_with
        await running.runs.CancelRun(evolution_pb2.CancelRunRequest(run_id="b"))
        assert (await world.pointers.current("policy")).version == began_with


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_run_that_fails_leaves_what_was_served_and_may_be_tried_with_what_is_served_now(
    tmp_path, nats, store, object_store_settings, ended: Ended
):
    first, second = (report.policy_version for report in ended.run.rounds)
    fails = recipe(rounds=1)
    fails.rounds[0].policy.training.max_length = 16
    left = tmp_path / "work" / "jobs" / "left"
    left.mkdir(parents=True)
    async with (
        evolution_world(nats, store, TREES) as (world, address),
        trainer(tmp_path, nats, object_store_settings, address) as running,
    ):

        async def promote(version: str) -> None:
            request = trainer_pb2.PromoteCheckpointRequest(model="policy", version=version)
            await running.jobs.PromoteCheckpoint(request)

        for version in (first, second):
            await promote(version)
            await running.runs.StartRun(evolution_pb2.StartRunRequest(run_id="f", recipe=fails))
            run = await running.ended("f")
            assert run.state == evolution_pb2.RUN_STATE_FAILED
            assert "training.max_length" in run.failure.message
            assert not run.HasField("policy_before")
            assert world.served["f/r0/search"] == "bootstrap"
            await eventually_serves(world, version)
        assert not left.exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_run_that_has_ended_moves_in_one_archive(
    tmp_path, nats, store, object_store_settings, ended: Ended
):
    async with trainer(tmp_path, nats, object_store_settings, ended.address) as elsewhere:
        taken = await elsewhere.runs.ImportRun(
            iter([evolution_pb2.ImportRunRequest(chunk=part) for part in ended.archive])
        )
        assert taken.run == ended.run
    version = ended.run.rounds[0].policy_version
    card = (await store.get(f"datasets/{version}/README.md")).decode()
    assert "evolution/problems/held.jsonl" in card  # which no variant asked anything of
    keys = [key async for key in store.keys(f"datasets/{version}/")]
    assert {key.rpartition("/")[2] for key in keys} >= {"README.md", "sft.json", "curve.jsonl"}


@pytest.mark.slow
async def test_what_is_refused_makes_no_run_that_has_ended_go_on(
    tmp_path, nats, store, object_store_settings, ended: Ended
):
    shorter = evolution_pb2.Run()
    shorter.CopyFrom(ended.run)
    del shorter.rounds[1:], shorter.recipe.rounds[1:]
    shorter.recipe_digest = "of the shorter recipe"
    shorter.ClearField("went_further_at")
    cancelled = evolution_pb2.Run()
    cancelled.CopyFrom(shorter)
    cancelled.run_id, cancelled.state = "cancelled", evolution_pb2.RUN_STATE_CANCELLED
    more = evolution_pb2.StartRunRequest(run_id="cancelled", recipe=ended.run.recipe)
    elsewhere = evolution_pb2.StartRunRequest(
        run_id="mortal",
        recipe=ended.run.recipe,
        branch=evolution_pb2.Branch(run_id="cancelled", round=0),
    )

    def chunks(data: bytes) -> Iterator[evolution_pb2.ImportRunRequest]:
        yield evolution_pb2.ImportRunRequest(chunk=data)

    async with trainer(tmp_path, nats, object_store_settings, ended.address) as running:
        for run in (shorter, cancelled):
            await write_archive(store, run, tmp_path / "run.tar")
            await running.runs.ImportRun(chunks((tmp_path / "run.tar").read_bytes()))
        for call in (
            running.runs.ImportRun(chunks(b"".join(ended.archive))),
            running.runs.StartRun(elsewhere),
            running.runs.StartRun(more),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
        for run in (shorter, cancelled):
            kept = await running.runs.GetRun(evolution_pb2.GetRunRequest(run_id=run.run_id))
            assert kept.run == run


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_branch_trains_anew_on_what_another_run_searched(
    tmp_path, nats, store, object_store_settings, ended: Ended
):
    other = recipe(min_accuracy=0.1)
    other.rounds[1].policy.training.max_steps = 2
    start = evolution_pb2.StartRunRequest(
        run_id="branch", recipe=other, branch=evolution_pb2.Branch(run_id="mortal", round=1)
    )
    searched_otherwise = evolution_pb2.StartRunRequest()
    searched_otherwise.CopyFrom(start)
    searched_otherwise.recipe.rounds[1].search.rollouts = 3
    trained_otherwise = evolution_pb2.StartRunRequest()
    trained_otherwise.CopyFrom(start)
    trained_otherwise.recipe.rounds[0].policy.training.max_steps = 2
    too_far = evolution_pb2.StartRunRequest()
    too_far.CopyFrom(start)
    too_far.branch.round = 2
    lines = (await store.get("evolution/problems/pool.jsonl")).splitlines(keepends=True)
    await store.put("evolution/problems/fewer.jsonl", b"".join(lines[1:]))
    fewer_problems = evolution_pb2.StartRunRequest()
    fewer_problems.CopyFrom(start)
    fewer_problems.recipe.pools[0].problems_key = "evolution/problems/fewer.jsonl"
    measured_otherwise = evolution_pb2.StartRunRequest()
    measured_otherwise.CopyFrom(start)
    measured_otherwise.recipe.evaluation_sets[0].problems_key = "evolution/problems/few.jsonl"
    few = types_pb2.Problem(problem_id="few", question="Few?", reference="1")
    await store.put("evolution/problems/few.jsonl", MessageToJson(few, indent=None).encode())
    async with (
        evolution_world(nats, store, TREES) as (world, address),
        trainer(tmp_path, nats, object_store_settings, address) as running,
    ):
        await running.runs.ImportRun(
            iter([evolution_pb2.ImportRunRequest(chunk=part) for part in ended.archive])
        )
        for request, field in (
            (searched_otherwise, "rounds[1].search"),
            (trained_otherwise, "rounds[0]"),
            (too_far, "branch.round"),
            (fewer_problems, "pools"),
            (measured_otherwise, "evaluation_sets"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await running.runs.StartRun(request)
            assert refused.value.details().startswith(f"{field}: "), refused.value.details()
        await running.runs.StartRun(start)
        elsewhere = evolution_pb2.StartRunRequest()
        elsewhere.CopyFrom(start)
        elsewhere.branch.round = 0
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await running.runs.StartRun(elsewhere)
        assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
        run = await running.ended("branch")
        assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
        assert list(world.published) == ["branch/r1/eval/greedy"]
        theirs, ours = ended.run.rounds[1], run.rounds[1]
        assert run.rounds[0] == ended.run.rounds[0]
        assert (ours.batch_id, ours.solved) == (theirs.batch_id, theirs.solved)
        assert (ours.policy_job, ours.policy_metrics["steps"]) == ("branch-r1-policy", 2)
        assert ours.policy_metrics["problems"] == theirs.policy_metrics["problems"]
        assert ours.promoted

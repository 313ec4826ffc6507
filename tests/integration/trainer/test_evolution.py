"""Runs of self-evolution on a real queue and store; searchers, models and sandbox scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToJson

from rstar.v1 import (
    evolution_pb2,
    evolution_pb2_grpc,
    trainer_pb2,
    trainer_pb2_grpc,
    types_pb2,
)
from rstar_common.artifacts import ObjectStore
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.rpc import channel
from tests.support.arithmetic_trees import arithmetic_trees
from tests.support.eventually import eventually
from tests.support.evolution_world import EvolutionWorld, evolution_world
from tests.support.servers import nats_server, service

TREES = {tree.problem.problem_id: tree for tree in arithmetic_trees(40)}
PHASES = evolution_pb2.RoundPhase


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsSettings]:
    async with nats_server(tmp_path / "nats") as settings:
        yield settings


@pytest.fixture
async def store(object_store_settings: ObjectStoreSettings) -> ObjectStore:
    """The store, with a training pool and an evaluation set."""
    store = ObjectStore(object_store_settings)
    await store.ready()
    pool = [
        types_pb2.Problem(
            problem_id=name, question=tree.problem.question, reference="1", labels={"module": "a"}
        )
        for name, tree in TREES.items()
    ]
    held = [
        types_pb2.Problem(problem_id=f"e{n}", question=f"What is {n} squared?", reference="1")
        for n in range(4)
    ]
    for key, problems in (("pool", pool), ("held", held)):
        lines = "".join(MessageToJson(one, indent=None) + "\n" for one in problems)
        await store.put(f"evolution/problems/{key}.jsonl", lines.encode())
    return store


def recipe(*, rounds: int = 2, **last_gate: float) -> evolution_pb2.Recipe:
    """Random programs on half of the pool, then what they taught on the rest; one PPM."""
    made = evolution_pb2.Recipe(name="test", seed=3)
    made.pools.add(name="train", problems_key="evolution/problems/pool.jsonl")
    made.evaluation_sets.add(name="held", problems_key="evolution/problems/held.jsonl")
    for number in range(rounds):
        round_ = made.rounds.add(bootstrap=number == 0, problems=20, prefer_new=True)
        round_.search.mode = types_pb2.SEARCH_MODE_TERMINAL_GUIDED
        round_.policy.shape.hidden_size = 32
        round_.policy.shape.layers = 1
        round_.policy.shape.heads = 2
        round_.policy.shape.key_value_heads = 1
        round_.policy.shape.intermediate_size = 64
        round_.policy.shape.vocabulary_size = 300
        round_.policy.training.max_steps = 3
        round_.policy.training.batch_tokens = 256
        if number == 0:
            round_.ppm.min_margin = 0.1
            round_.ppm.training.max_steps = 2
        round_.evaluations.add(name="greedy", set="held")
    if last_gate:
        made.rounds[-1].gates.add(evaluation="greedy", **last_gate)
    return made


class Trainer:
    """A running trainer's stubs."""

    def __init__(self, wire: grpc.aio.Channel, running: object) -> None:
        self.runs = evolution_pb2_grpc.EvolutionServiceStub(wire)
        self.jobs = trainer_pb2_grpc.TrainerServiceStub(wire)
        self.process = running.process

    async def until(self, run_id: str, wanted) -> evolution_pb2.Run:
        """Watch a run until it is as wanted, or has ended."""
        run = evolution_pb2.Run()
        async for reply in self.runs.WatchRun(evolution_pb2.WatchRunRequest(run_id=run_id)):
            run = reply.run
            if wanted(run):
                break
        return run


@asynccontextmanager
async def trainer(
    directory: Path, nats: NatsSettings, store: ObjectStoreSettings, world: str
) -> AsyncIterator[Trainer]:
    environment = {
        "RSTAR_TRAINER_WORK_DIR": str(directory / "work"),
        "RSTAR_TRAINER_THREADS": "1",
        "RSTAR_TRAINER_SEED_MODELS": str(directory),
        "RSTAR_TRAINER_SEARCHER_ADDRESS": world,
        "RSTAR_TRAINER_POLICY_ADDRESS": world,
        "RSTAR_TRAINER_PPM_ADDRESS": world,
        "RSTAR_TRAINER_SANDBOX_ADDRESS": world,
    }
    async with (
        service("trainer", directory, environment, nats=nats, store=store) as running,
        channel(running.address) as wire,
    ):
        yield Trainer(wire, running)


def check_done_once(world: EvolutionWorld, run: evolution_pb2.Run) -> None:
    """Every batch was published, and none that is not the run's own."""
    expected = [f"{run.run_id}/r{n}/{what}" for n in range(2) for what in ("search", "eval/greedy")]
    assert sorted(world.batches) == sorted(expected)
    searched = [p.problem_id for n in range(2) for p in world.batches[expected[2 * n]].problems]
    assert sorted(searched) == sorted(TREES)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_run_goes_through_deaths_in_every_phase_and_does_nothing_twice(
    tmp_path, nats, store, object_store_settings
):
    killed_in = [
        PHASES.ROUND_PHASE_SEARCHING,
        PHASES.ROUND_PHASE_TRAINING_POLICY,
        PHASES.ROUND_PHASE_TRAINING_PPM,
        PHASES.ROUND_PHASE_EVALUATING,
    ]
    start = evolution_pb2.StartRunRequest(run_id="mortal", recipe=recipe(min_accuracy=0.9))
    async with evolution_world(nats, store, TREES) as (world, address):
        for phase in killed_in:
            async with trainer(tmp_path, nats, object_store_settings, address) as running:
                await running.runs.StartRun(start)
                await running.until(
                    "mortal", lambda run, phase=phase: run.rounds and run.rounds[-1].phase >= phase
                )
                running.process.kill()
                await running.process.wait()
        async with trainer(tmp_path, nats, object_store_settings, address) as running:
            run = await running.until("mortal", lambda run: False)
            jobs = (await running.jobs.ListJobs(trainer_pb2.ListJobsRequest())).jobs
        assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
        check_done_once(world, run)
        assert sorted(job.job_id for job in jobs) == [
            "mortal-r0-policy",
            "mortal-r0-ppm",
            "mortal-r1-policy",
        ]
        first, second = run.rounds
        assert first.promoted
        assert first.search_policy == "bootstrap"
        assert second.search_policy == first.policy_version != second.policy_version
        # The round that failed its gate was measured with its own models, and did not stay.
        assert world.served["mortal/r1/eval/greedy"] == second.policy_version
        assert not second.promoted
        assert "greedy: 0.500 is below 0.900" in second.decision
        assert (await world.pointers.current("policy")).version == first.policy_version
        assert (await world.pointers.current("ppm")).version == first.ppm_version
        for name, batch in world.batches.items():
            carries = [problem.HasField("reference") for problem in batch.problems]
            assert carries == ["/eval/" not in name] * len(carries)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_run_that_is_cancelled_takes_its_training_and_its_models_along(
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
        await running.runs.CancelRun(evolution_pb2.CancelRunRequest(run_id="a"))
        [job] = (await running.jobs.ListJobs(trainer_pb2.ListJobsRequest())).jobs
        assert (job.job_id, job.state) == ("a-r0-policy", trainer_pb2.JOB_STATE_CANCELLED)

        world.never_ends = "/eval/"
        measured = recipe(rounds=1)
        measured.rounds[0].ClearField("ppm")
        await running.runs.StartRun(evolution_pb2.StartRunRequest(run_id="b", recipe=measured))
        await eventually(lambda: world.published["b/r0/eval/greedy"] == 1, seconds=240)
        assert (await world.pointers.current("policy")).version != began_with
        await running.runs.CancelRun(evolution_pb2.CancelRunRequest(run_id="b"))
        assert (await world.pointers.current("policy")).version == began_with


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_run_that_has_ended_moves_in_one_archive(
    tmp_path, nats, store, object_store_settings
):
    request = evolution_pb2.StartRunRequest(run_id="moved", recipe=recipe(rounds=1))
    async with evolution_world(nats, store, TREES) as (_, address):
        async with trainer(tmp_path, nats, object_store_settings, address) as running:
            began = await running.runs.StartRun(request)
            again = await running.runs.StartRun(request)
            assert again.run.created_at == began.run.created_at
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await running.runs.StartRun(
                    evolution_pb2.StartRunRequest(
                        run_id="moved", recipe=recipe(rounds=1, min_accuracy=0.1)
                    )
                )
            assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
            run = await running.until("moved", lambda run: False)
            assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
            parts = [
                part.chunk
                async for part in running.runs.ExportRun(
                    evolution_pb2.ExportRunRequest(run_id="moved")
                )
            ]
        async with (
            nats_server(tmp_path / "elsewhere") as other,
            trainer(tmp_path / "other", other, object_store_settings, address) as running,
        ):
            taken = await running.runs.ImportRun(
                iter([evolution_pb2.ImportRunRequest(chunk=part) for part in parts])
            )
            assert taken.run == run
    keys = [key async for key in store.keys(f"datasets/{run.rounds[0].policy_version}/")]
    assert {key.rpartition("/")[2] for key in keys} >= {"README.md", "sft.json", "curve.jsonl"}


async def test_recipes_that_cannot_be_carried_out_are_refused_by_their_field(
    tmp_path, nats, store, object_store_settings
):
    def bad(change) -> evolution_pb2.Recipe:
        made = recipe()
        change(made)
        return made

    def same_set(made):
        made.evaluation_sets[0].problems_key = made.pools[0].problems_key

    faults = {
        "rounds[1].gates[0].evaluation": bad(lambda r: r.rounds[1].gates.add(evaluation="none")),
        "rounds[0].gates[0].max_drop": bad(
            lambda r: r.rounds[0].gates.add(evaluation="greedy", max_drop=0.1)
        ),
        "rounds[1].gates[0].min_accuracy": recipe(min_accuracy=2.0),
        "rounds[0].pools[0]": bad(lambda r: r.rounds[0].pools.append("elsewhere")),
        "evaluation_sets[0].path": bad(same_set),
        "rounds[0].search.mode": bad(
            lambda r: setattr(r.rounds[0].search, "mode", types_pb2.SEARCH_MODE_PPM_AUGMENTED)
        ),
        "rounds[0].policy.training.learning_rate": bad(
            lambda r: setattr(r.rounds[0].policy.training, "learning_rate", 5.0)
        ),
    }
    async with (
        evolution_world(nats, store, TREES) as (_, address),
        trainer(tmp_path, nats, object_store_settings, address) as running,
    ):
        for field, made in faults.items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await running.runs.StartRun(
                    evolution_pb2.StartRunRequest(run_id="bad", recipe=made)
                )
            assert refused.value.details().startswith(f"{field}: "), refused.value.details()
        planned = await running.runs.StartRun(
            evolution_pb2.StartRunRequest(run_id="dry", recipe=recipe(), dry_run=True)
        )
        assert [one.problems for one in planned.plan] == [20, 20]
        assert not (await running.runs.ListRuns(evolution_pb2.ListRunsRequest())).runs

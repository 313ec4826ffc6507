"""The trainer service over gRPC, on a real nats-server and a real S3 server."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToJson

from rstar.v1 import events_pb2, trainer_pb2, trainer_pb2_grpc
from rstar_common.artifacts import DATASETS, ObjectStore, given_key, tree_key
from rstar_common.bus import connected
from rstar_common.checkpoints import Pointers
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.rpc import channel
from rstar_common.streams import CHECKPOINT_PROMOTED, EVENTS, POINTERS, key_value
from rstar_trainer.authors import pair_records, sft_records
from rstar_trainer.dataset import parse_tree
from rstar_trainer.job import STATE_FILE
from rstar_trainer.lessons import CURVE, LESSONS
from rstar_trainer.pairs import preference_groups
from rstar_trainer.selection import select_examples
from tests.support.arithmetic_trees import arithmetic_trees
from tests.support.servers import Service, nats_server, service

pytestmark = pytest.mark.timeout(400)  # jobs load torch, each in a process of its own

TINY = trainer_pb2.ModelShape(
    hidden_size=32, layers=1, heads=2, key_value_heads=1, intermediate_size=64, vocabulary_size=300
)
BATCH = "trainer-tests"
ADAMW, MUON = trainer_pb2.OPTIMIZER_ADAMW, trainer_pb2.OPTIMIZER_MUON

TOLD = 99.0
"""A loss that no training has."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(object_store_settings: ObjectStoreSettings) -> ObjectStoreSettings:
    """The store, with the trees of one batch."""
    store = ObjectStore(object_store_settings)
    await store.ready()
    for tree in arithmetic_trees(60):
        await store.put(tree_key(BATCH, tree.search_id), tree.SerializeToString())
    return object_store_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """A trainer with a nats-server of its own: pointers and jobs are global to one."""

    nats: NatsSettings
    service: Service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, store: ObjectStoreSettings
) -> AsyncIterator[Trainer]:
    """One for the tests that leave it alive."""
    directory = tmp_path_factory.mktemp("trainer")
    async with nats_server(directory / "nats") as nats, trainer(directory, nats, store) as running:
        yield Trainer(nats=nats, service=running)


@asynccontextmanager
async def trainer(
    directory: Path,
    nats: NatsSettings,
    store: ObjectStoreSettings,
    *,
    processes: int = 1,
    state_seconds: float = 20.0,
) -> AsyncIterator[Service]:
    environment = {
        "RSTAR_TRAINER_WORK_DIR": str(directory / "work"),
        "RSTAR_TRAINER_THREADS": "1",
        "RSTAR_TRAINER_PROCESSES": str(processes),
        "RSTAR_TRAINER_STATE_SECONDS": str(state_seconds),
        "RSTAR_TRAINER_SEED_MODELS": str(directory),
    }
    async with service("trainer", directory, environment, nats=nats, store=store) as running:
        yield running


@asynccontextmanager
async def asking(
    running: Service,
) -> AsyncIterator[trainer_pb2_grpc.TrainerServiceAsyncStub]:
    async with channel(running.address) as wire:
        yield trainer_pb2_grpc.TrainerServiceStub(wire)


def policy_job(
    job_id: str,
    *,
    steps: int = 3,
    promote: bool = True,
    optimizer: trainer_pb2.Optimizer.ValueType = ADAMW,
    **fields: object,
):
    training = trainer_pb2.TrainingSettings(
        max_steps=steps, batch_tokens=256, seed=1, optimizer=optimizer
    )
    return trainer_pb2.SubmitJobRequest(
        job_id=job_id,
        promote=promote,
        train_policy=trainer_pb2.TrainPolicyJob(
            batch_ids=[BATCH],
            shape=TINY,
            training=training,
            **fields,
        ),
    )


async def ended(stub, job_id: str) -> trainer_pb2.Job:
    job = None
    async for reply in stub.WatchJob(trainer_pb2.WatchJobRequest(job_id=job_id)):
        job = reply.job
    return job


async def test_trees_become_promoted_checkpoints_of_policy_and_ppm(shared: Trainer):
    async with asking(shared.service) as stub:
        await stub.SubmitJob(policy_job("first"))
        policy = await ended(stub, "first")
        assert policy.state == trainer_pb2.JOB_STATE_SUCCEEDED, policy
        assert policy.metrics["solved_problems"] == policy.metrics["problems"]
        await stub.SubmitJob(
            trainer_pb2.SubmitJobRequest(
                job_id="second",
                promote=True,
                train_ppm=trainer_pb2.TrainPpmJob(
                    batch_ids=[BATCH], training=trainer_pb2.TrainingSettings(max_steps=2)
                ),
            )
        )
        ppm = await ended(stub, "second")
        assert ppm.state == trainer_pb2.JOB_STATE_SUCCEEDED, ppm
        assert "pair_accuracy" in ppm.metrics
        listed = await stub.ListCheckpoints(trainer_pb2.ListCheckpointsRequest())
        ours = (policy.checkpoint_version, ppm.checkpoint_version)  # the store is the session's
        newest = [c for c in listed.checkpoints if c.version in ours]
        assert [(c.model, c.version, c.promoted) for c in newest] == [
            ("ppm", ppm.checkpoint_version, True),
            ("policy", policy.checkpoint_version, True),
        ]
        assert list(newest[0].parents) == [policy.checkpoint_version]
    async with connected(shared.nats, name="test") as client:
        jetstream = client.jetstream()
        pointers = Pointers(await key_value(jetstream, POINTERS))
        assert (await pointers.current("ppm")).version == ppm.checkpoint_version
        event = await jetstream.get_last_msg(EVENTS, CHECKPOINT_PROMOTED)
        promoted = events_pb2.CheckpointPromoted.FromString(event.data)
        assert promoted.version == ppm.checkpoint_version


async def test_no_variant_asks_what_an_evaluation_set_asks(
    shared: Trainer, store: ObjectStoreSettings
):
    key = "evolution/problems/asks-the-same.jsonl"
    problems = [tree.problem for tree in arithmetic_trees(60)]
    for problem in problems:
        problem.reference = "1"
    lines = "".join(MessageToJson(one, indent=None) + "\n" for one in problems)
    await ObjectStore(store).put(key, lines.encode())
    async with asking(shared.service) as stub:
        taught = {}
        # These programs say the numbers of their questions: a variant is the example itself.
        for name, keys in (("any", []), ("apart", [key]), ("missing", [key, "evolution/none"])):
            await stub.SubmitJob(
                policy_job(f"variants-{name}", promote=False, evaluation_keys=keys)
            )
            taught[name] = await ended(stub, f"variants-{name}")
        ppm = trainer_pb2.TrainPpmJob(
            batch_ids=[BATCH],
            policy_version=taught["apart"].checkpoint_version,
            training=trainer_pb2.TrainingSettings(max_steps=2),
            variants=2,
            evaluation_keys=[key],
        )
        await stub.SubmitJob(trainer_pb2.SubmitJobRequest(job_id="variants-ppm", train_ppm=ppm))
        scorer = (await ended(stub, "variants-ppm")).metrics
    varied, apart = taught["any"].metrics, taught["apart"].metrics
    assert (varied["variants_left_out"], apart["variants_left_out"]) == (
        0,
        varied["training_examples"] - apart["training_examples"],
    )
    assert 0 < apart["training_examples"] <= apart["examples"] < varied["training_examples"]
    assert scorer["groups_with_variants"] == scorer["groups"]
    assert scorer["variants_left_out"] == 2 * scorer["groups"]
    assert taught["missing"].state == trainer_pb2.JOB_STATE_FAILED
    assert taught["missing"].failure.field == "evaluation_keys[1]"


async def test_files_in_the_form_of_the_authors_are_learned_without_any_batch(
    shared: Trainer, store: ObjectStoreSettings
):
    trees = [parse_tree(tree.SerializeToString()) for tree in arithmetic_trees(60)]
    sft = sft_records(select_examples(trees, per_problem=1, agreement=None).examples)
    groups = [g for tree in trees for g in preference_groups(tree, per_side=2, min_margin=0.1)]
    objects = ObjectStore(store)
    broken = [*sft[:1], {"query": "?", "response": "no step"}]
    digests = {"none": "0" * 64}
    for name, data in (
        ("sft", json.dumps(sft).encode()),
        ("pairs", json.dumps(pair_records(groups)).encode()),
        ("no-step", json.dumps(broken).encode()),
        ("no-text", b'[{"query": "\\ud800", "response": "x"}]'),
        ("deep", b"[" * 100_000),
    ):
        digests[name] = hashlib.sha256(data).hexdigest()
        await objects.put(given_key(digests[name]), data)
    digests["other"] = "1" * 64
    await objects.put(given_key(digests["other"]), b"[]")

    def learning_from(name: str) -> trainer_pb2.SubmitJobRequest:
        request = policy_job(f"given-{name}", promote=False, data_digests=[digests[name]])
        del request.train_policy.batch_ids[:]
        return request

    async with asking(shared.service) as stub:
        await stub.SubmitJob(learning_from("sft"))
        policy = await ended(stub, "given-sft")
        assert policy.state == trainer_pb2.JOB_STATE_SUCCEEDED, policy
        learned = policy.metrics["given_examples"]
        assert 0 < learned < len(sft)  # some questions are held out
        assert policy.metrics["training_examples"] == learned  # taught as they are
        await stub.SubmitJob(
            trainer_pb2.SubmitJobRequest(
                job_id="given-pairs",
                train_ppm=trainer_pb2.TrainPpmJob(
                    batch_ids=[BATCH],
                    data_digests=[digests["pairs"]],
                    policy_version=policy.checkpoint_version,
                    training=trainer_pb2.TrainingSettings(max_steps=2),
                ),
            )
        )
        ppm = await ended(stub, "given-pairs")
        assert ppm.state == trainer_pb2.JOB_STATE_SUCCEEDED, ppm
        assert 0 < ppm.metrics["given_groups"] < ppm.metrics["groups"]
        for name, field in (
            ("no-step", "data_digests[0][1].response"),
            ("no-text", "data_digests[0]"),
            ("deep", "data_digests[0]"),
            ("none", "data_digests[0]"),
            ("other", "data_digests[0]"),
        ):
            await stub.SubmitJob(learning_from(name))
            failed = await ended(stub, f"given-{name}")
            assert failed.state == trainer_pb2.JOB_STATE_FAILED
            assert failed.failure.field == field, failed


async def test_a_job_submitted_twice_is_one_and_another_under_its_name_is_refused(
    shared: Trainer,
):
    async with asking(shared.service) as stub:
        first = await stub.SubmitJob(policy_job("twice", steps=10**6))
        again = await stub.SubmitJob(policy_job("twice", steps=10**6))
        assert again.job.created_at == first.job.created_at
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SubmitJob(policy_job("twice", steps=4))
        assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
        cancelled = await stub.CancelJob(trainer_pb2.CancelJobRequest(job_id="twice"))
        assert cancelled.job.state == trainer_pb2.JOB_STATE_CANCELLED
        assert (await ended(stub, "twice")).state == trainer_pb2.JOB_STATE_CANCELLED


@pytest.mark.parametrize(
    ("processes", "end", "state_seconds", "optimizer"),
    [
        pytest.param(1, signal.SIGKILL, 0.05, ADAMW, id="killed"),
        pytest.param(2, signal.SIGKILL, 0.05, MUON, id="killed, two processes"),
        pytest.param(2, signal.SIGTERM, 20.0, ADAMW, id="stopped, two processes"),
    ],
)
async def test_a_trainer_that_ended_goes_on_with_its_job(
    tmp_path,
    store: ObjectStoreSettings,
    processes: int,
    end: signal.Signals,
    state_seconds: float,
    optimizer: trainer_pb2.Optimizer.ValueType,
):
    job_of = partial(policy_job, steps=400, optimizer=optimizer)
    jobs = tmp_path / "work" / "jobs"
    async with nats_server(tmp_path / "nats") as nats:
        started = partial(trainer, tmp_path, nats, store, processes=processes)
        async with started(state_seconds=state_seconds) as running, asking(running) as stub:
            await stub.SubmitJob(job_of("long"))
            async for reply in stub.WatchJob(trainer_pb2.WatchJobRequest(job_id="long")):
                saved = any(jobs.glob(f"*/{STATE_FILE}"))
                if "step" in reply.job.metrics and (saved or state_seconds > 1):
                    break
            running.process.send_signal(end)
            await running.process.wait()
        [directory] = jobs.iterdir()
        assert (directory / STATE_FILE).exists()
        curve = directory / LESSONS / CURVE
        told = [json.loads(line) for line in curve.read_text().splitlines()]
        curve.write_text("".join(json.dumps(one | {"loss": TOLD}) + "\n" for one in told))
        async with started() as running, asking(running) as stub:
            job = await ended(stub, "long")
            assert job.state == trainer_pb2.JOB_STATE_SUCCEEDED, job
            data = await ObjectStore(store).get(f"{DATASETS}{job.checkpoint_version}/{CURVE}")
            if end is signal.SIGKILL:  # to the weights of one that was never disturbed
                await stub.SubmitJob(job_of("undisturbed"))
                undisturbed = await ended(stub, "undisturbed")
                assert undisturbed.checkpoint_version == job.checkpoint_version
    assert job.metrics["steps"] == 400
    points = [json.loads(line) for line in data.splitlines()]
    assert [one["step"] for one in points] == list(range(1, 401))
    assert points[0]["loss"] == TOLD  # it did not begin anew


async def test_bad_jobs_are_refused_or_fail_with_the_field_at_fault(shared: Trainer):
    async with asking(shared.service) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SubmitJob(policy_job("bad", prompt_format="no-such"))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "train_policy.prompt_format" in refused.value.details()
        request = policy_job("nothing")
        request.train_policy.batch_ids[:] = ["no-such-batch"]
        await stub.SubmitJob(request)
        job = await ended(stub, "nothing")
        assert job.state == trainer_pb2.JOB_STATE_FAILED
        assert job.failure.field == "batch_ids[0]"

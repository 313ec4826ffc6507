"""What is refused of a job before anything runs."""

from __future__ import annotations

import pytest

from rstar.v1 import trainer_pb2
from rstar_common.errors import InvalidInput
from rstar_trainer.job import OptimizerKind
from rstar_trainer.wire import spec_from


def request(**training: int) -> trainer_pb2.SubmitJobRequest:
    settings = trainer_pb2.TrainingSettings(**training)
    job = trainer_pb2.TrainPolicyJob(batch_ids=["b"], training=settings)
    return trainer_pb2.SubmitJobRequest(job_id="j", train_policy=job)


def test_the_optimizer_is_adamw_unless_named():
    assert spec_from(request()).training.optimizer is OptimizerKind.ADAMW
    muon = request(optimizer=trainer_pb2.OPTIMIZER_MUON)
    assert spec_from(muon).training.optimizer is OptimizerKind.MUON


def test_an_optimizer_of_a_later_release_is_refused():
    with pytest.raises(InvalidInput) as failure:
        spec_from(request(optimizer=9))
    assert failure.value.field == "train_policy.training.optimizer"


def test_a_job_may_learn_from_files_of_others_alone():
    spec = spec_from(
        trainer_pb2.SubmitJobRequest(
            train_policy=trainer_pb2.TrainPolicyJob(data_keys=["datasets/given/a.json"])
        )
    )
    assert (spec.batch_ids, spec.data_keys) == ((), ("datasets/given/a.json",))


def test_files_lie_among_the_data_sets_and_pairs_are_for_the_pairwise_objective():
    job = trainer_pb2.TrainPpmJob(data_keys=["datasets/given/a.json", "inbox/a.json"])
    with pytest.raises(InvalidInput) as failure:
        spec_from(trainer_pb2.SubmitJobRequest(train_ppm=job))
    assert failure.value.field == "train_ppm.data_keys[1]"
    del job.data_keys[1]
    job.objective = trainer_pb2.PPM_OBJECTIVE_OUTCOME
    with pytest.raises(InvalidInput) as failure:
        spec_from(trainer_pb2.SubmitJobRequest(train_ppm=job))
    assert failure.value.field == "train_ppm.data_keys"


def test_a_job_that_learns_from_nothing_is_refused():
    with pytest.raises(InvalidInput) as failure:
        spec_from(trainer_pb2.SubmitJobRequest(train_ppm=trainer_pb2.TrainPpmJob()))
    assert failure.value.field == "train_ppm.batch_ids"


def test_a_margin_of_nothing_can_be_asked_for() -> None:
    job = trainer_pb2.TrainPpmJob(batch_ids=["b"])
    request = trainer_pb2.SubmitJobRequest(train_ppm=job)
    assert spec_from(request).min_margin == 0.5
    request.train_ppm.min_margin = 0
    assert spec_from(request).min_margin == 0

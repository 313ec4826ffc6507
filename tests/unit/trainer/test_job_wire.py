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


def test_a_margin_of_nothing_can_be_asked_for() -> None:
    job = trainer_pb2.TrainPpmJob(batch_ids=["b"])
    request = trainer_pb2.SubmitJobRequest(train_ppm=job)
    assert spec_from(request).min_margin == 0.5
    request.train_ppm.min_margin = 0
    assert spec_from(request).min_margin == 0

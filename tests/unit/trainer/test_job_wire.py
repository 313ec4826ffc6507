"""What is refused of a job before anything runs."""

from __future__ import annotations

import pytest

from rstar.v1 import evolution_pb2, trainer_pb2
from rstar_common.errors import InvalidInput
from rstar_trainer.evolution.checks import check_recipe
from rstar_trainer.job import OptimizerKind
from rstar_trainer.wire import spec_from

MUON = trainer_pb2.TrainPolicyJob(
    training=trainer_pb2.TrainingSettings(optimizer=trainer_pb2.OPTIMIZER_MUON)
)


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


def test_muon_is_refused_at_once_where_several_processes_train():
    muon = request(optimizer=trainer_pb2.OPTIMIZER_MUON)
    with pytest.raises(InvalidInput, match="this trainer has 2") as failure:
        spec_from(muon, processes=2)
    assert failure.value.field == "train_policy.training.optimizer"


def test_a_recipe_names_the_round_whose_training_cannot_be():
    given = evolution_pb2.Round(batch_ids=["b"], policy=MUON)
    recipe = evolution_pb2.Recipe(name="r", rounds=[given])
    check_recipe(recipe, has_policy=True, processes=1)
    with pytest.raises(InvalidInput) as failure:
        check_recipe(recipe, has_policy=True, processes=4)
    assert failure.value.field == "rounds[0].policy.training.optimizer"


def test_a_margin_of_nothing_can_be_asked_for() -> None:
    job = trainer_pb2.TrainPpmJob(batch_ids=["b"])
    request = trainer_pb2.SubmitJobRequest(train_ppm=job)
    assert spec_from(request).min_margin == 0.5
    request.train_ppm.min_margin = 0
    assert spec_from(request).min_margin == 0

"""What is refused of a job before anything runs."""

from __future__ import annotations

import json

import pytest

from rstar.v1 import trainer_pb2
from rstar_common.errors import InvalidInput
from rstar_trainer.job import JobRecord
from rstar_trainer.spec import OptimizerKind
from rstar_trainer.wire import spec_from


def request(**training: float) -> trainer_pb2.SubmitJobRequest:
    settings = trainer_pb2.TrainingSettings(**training)
    job = trainer_pb2.TrainPolicyJob(batch_ids=["b"], training=settings)
    return trainer_pb2.SubmitJobRequest(job_id="j", train_policy=job)


def test_the_optimizer_is_adamw_unless_named():
    assert spec_from(request()).training.optimizer is OptimizerKind.ADAMW
    muon = request(optimizer=trainer_pb2.OPTIMIZER_MUON)
    assert spec_from(muon).training.optimizer is OptimizerKind.MUON


def test_no_warm_up_and_no_decay_can_be_asked_for():
    unsaid = spec_from(request()).training
    assert (unsaid.warmup_share, unsaid.weight_decay) == (0.03, 0.01)
    none = spec_from(request(warmup_share=0, weight_decay=0)).training
    assert (none.warmup_share, none.weight_decay) == (0, 0)


def test_an_optimizer_of_a_later_release_is_refused():
    with pytest.raises(InvalidInput) as failure:
        spec_from(request(optimizer=9))
    assert failure.value.field == "train_policy.training.optimizer"


SOME, OTHER = "0" * 64, "1" * 64


def test_a_job_may_learn_from_files_of_others_alone():
    job = trainer_pb2.TrainPolicyJob(data_digests=[SOME])
    spec = spec_from(trainer_pb2.SubmitJobRequest(train_policy=job))
    assert (spec.batch_ids, spec.data_digests) == ((), (SOME,))


@pytest.mark.parametrize(
    "digests",
    [[SOME, "../../x"], [SOME, SOME], [SOME, SOME.upper() + "A"], [f"{n:064}" for n in range(65)]],
    ids=["path", "twice", "long", "many"],
)
def test_a_file_is_named_by_its_digest_once_and_they_are_few(digests: list[str]):
    job = trainer_pb2.TrainPpmJob(data_digests=digests)
    with pytest.raises(InvalidInput) as failure:
        spec_from(trainer_pb2.SubmitJobRequest(train_ppm=job))
    assert failure.value.field == f"train_ppm.data_digests[{len(digests) - 1}]"


def test_pairs_are_for_the_pairwise_objective():
    job = trainer_pb2.TrainPpmJob(
        data_digests=[SOME, OTHER], objective=trainer_pb2.PPM_OBJECTIVE_OUTCOME
    )
    with pytest.raises(InvalidInput) as failure:
        spec_from(trainer_pb2.SubmitJobRequest(train_ppm=job))
    assert failure.value.field == "train_ppm.data_digests"


def test_a_job_without_files_is_stored_as_the_release_before_reads_it():
    for digests in ([], [SOME]):
        job = trainer_pb2.TrainPolicyJob(batch_ids=["b"], data_digests=digests)
        spec = spec_from(trainer_pb2.SubmitJobRequest(train_policy=job))
        record = JobRecord(job_id="j", spec=spec)
        assert ("data_digests" in json.loads(record.to_json())["spec"]) == bool(digests)
        assert JobRecord.model_validate_json(record.to_json()) == record


def test_a_job_of_the_release_before_is_the_one_that_names_evaluation_sets():
    def record(*keys: str, batch: str = "b") -> JobRecord:
        job = trainer_pb2.TrainPolicyJob(batch_ids=[batch], evaluation_keys=keys)
        return JobRecord(job_id="j", spec=spec_from(trainer_pb2.SubmitJobRequest(train_policy=job)))

    assert "evaluation_keys" not in json.loads(record().to_json())["spec"]
    assert json.loads(record("held").to_json())["spec"]["evaluation_keys"] == ["held"]
    assert record().same_request(record("held"))
    assert record("held").same_request(record())
    assert not record("held").same_request(record("other"))
    assert not record("held").same_request(record("held", batch="c"))


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


def test_raw_rewards_and_distances_are_for_what_compares() -> None:
    job = trainer_pb2.TrainPpmJob(batch_ids=["b"], raw_rewards=True, min_edit_distance=20)
    request = trainer_pb2.SubmitJobRequest(train_ppm=job)
    spec = spec_from(request)
    assert (spec.raw_rewards, spec.min_edit_distance) == (True, 20)
    request.train_ppm.objective = trainer_pb2.PPM_OBJECTIVE_Q_REGRESSION
    with pytest.raises(InvalidInput, match=r"train_ppm\.raw_rewards"):
        spec_from(request)
    request.train_ppm.raw_rewards = False
    with pytest.raises(InvalidInput, match=r"train_ppm\.min_edit_distance"):
        spec_from(request)
    plain = trainer_pb2.TrainPpmJob(batch_ids=["b"])
    made = JobRecord(job_id="j", spec=spec_from(trainer_pb2.SubmitJobRequest(train_ppm=plain)))
    assert b"raw_rewards" not in made.to_json()  # which the release before would refuse

"""What `rstar train` asks the trainer for, as the trainer hears it."""

from __future__ import annotations

import pytest

from rstar.v1 import trainer_pb2
from tests.support.training_listener import Listener, train


@pytest.mark.parametrize(
    ("word", "objective"),
    [
        ("pairwise", trainer_pb2.PPM_OBJECTIVE_PAIRWISE),
        ("q-regression", trainer_pb2.PPM_OBJECTIVE_Q_REGRESSION),
        ("outcome", trainer_pb2.PPM_OBJECTIVE_OUTCOME),
    ],
)
async def test_a_ppm_is_ordered_with_its_objective_and_filter(tmp_path, word, objective):
    listener = Listener()
    options = ("--batch", "b", "--objective", word, "--agreement-filter")
    status, stderr = await train(listener, tmp_path, "ppm", *options)
    assert status == 0, stderr
    [request] = listener.heard
    assert request.train_ppm.batch_ids == ["b"]
    assert request.train_ppm.objective == objective
    assert request.train_ppm.agreement_filter


async def test_an_unknown_objective_is_refused_with_those_there_are(tmp_path):
    listener = Listener()
    status, stderr = await train(listener, tmp_path, "ppm", "--objective", "quality")
    assert status == 2
    assert "q-regression" in stderr
    assert not listener.heard


async def test_a_file_that_is_not_there_is_named(tmp_path):
    listener = Listener()
    status, stderr = await train(listener, tmp_path, "policy", "--examples", "none.json")
    assert status == 2
    assert "none.json" in stderr
    assert not listener.heard

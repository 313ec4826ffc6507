"""What the PPM serves is what the trainer trained, however calls are batched and cached."""

from __future__ import annotations

import json
import math
import shutil
from random import Random

import pytest
import torch

from rstar_common.scores import RAW_SCORE_DIVISOR, SCORE_DIVISOR
from rstar_ppm.layout import ScoringCall
from rstar_ppm.model import RewardModel
from rstar_trainer import checkpoint
from rstar_trainer.rewards import rewards
from rstar_trainer.token_groups import TokenGroup
from tests.support.models import write_ppm

PARITY = 1e-4
"""Largest difference to the training-side model, in fp32."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ppm") / "model"
    write_ppm(directory)
    return directory


def model(directory, *, cached_tokens: int) -> RewardModel:
    return RewardModel(
        directory,
        device=torch.device("cpu"),
        dtype=torch.float32,
        cached_tokens=cached_tokens,
    )


def segments(rng: Random, *lengths: int) -> list[list[int]]:
    return [[rng.randrange(11, 250) for _ in range(length)] for length in lengths]


def expected(directory, path, siblings) -> list[float]:
    trained = checkpoint.load_ppm(directory, seed=0).eval()
    prefix = [token for segment in path for token in segment]
    lines = tuple(tuple(prefix + sibling) for sibling in siblings)
    with torch.inference_mode():
        group = TokenGroup(preferred=lines[:1], rejected=lines[1:], final=False)
        return rewards(trained, [group]).tolist()


def test_scores_equal_those_of_the_training_side(directory):
    rng = Random(0)
    path, siblings = segments(rng, 20, 7, 9), segments(rng, 5, 1, 12, 5)
    [result] = model(directory, cached_tokens=0).score([ScoringCall.of(path, siblings)])
    assert result.scores == pytest.approx(expected(directory, path, siblings), abs=PARITY)
    assert result.computed_tokens == 36 + 23


def test_a_model_that_learned_raw_rewards_scores_by_tanh_of_a_fifth(directory, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(directory, raw)
    config = json.loads((raw / "config.json").read_text())
    (raw / "config.json").write_text(json.dumps(config | {SCORE_DIVISOR: RAW_SCORE_DIVISOR}))
    rng = Random(5)
    path, siblings = segments(rng, 20, 7), segments(rng, 5, 3)
    learned = expected(raw, path, siblings)  # what the loss compares
    assert [math.tanh(value) for value in learned] == pytest.approx(
        expected(directory, path, siblings), abs=PARITY
    )
    [result] = model(raw, cached_tokens=0).score([ScoringCall.of(path, siblings)])
    assert result.scores == pytest.approx([math.tanh(x / 5) for x in learned], abs=PARITY)


def test_calls_of_different_lengths_do_not_disturb_each_other(directory):
    rng = Random(1)
    calls = [
        (segments(rng, *path), segments(rng, *siblings))
        for path, siblings in (((30,), (4, 9)), ((3, 2), (1,)), ((11, 5, 40), (2, 2, 30)))
    ]
    results = model(directory, cached_tokens=0).score([ScoringCall.of(*call) for call in calls])
    for call, result in zip(calls, results, strict=True):
        assert result.scores == pytest.approx(expected(directory, *call), abs=PARITY)


def test_a_prefix_that_was_scored_before_is_not_computed_again(directory):
    rng = Random(2)
    scorer = model(directory, cached_tokens=1000)
    question, first, others, last = segments(rng, 20, 6, 8, 5)
    scorer.score([ScoringCall.of([question], [first, others])])
    fresh = segments(rng, 13)[0]
    [known, unknown] = scorer.score(
        [ScoringCall.of([question, first], [last]), ScoringCall.of([fresh], [last, first])]
    )
    assert known.computed_tokens == len(last)
    assert unknown.computed_tokens == len(fresh) + len(last) + len(first)
    assert known.scores == pytest.approx(expected(directory, [question, first], [last]), abs=PARITY)
    assert unknown.scores == pytest.approx(expected(directory, [fresh], [last, first]), abs=PARITY)


def test_a_full_cache_forgets_the_oldest_and_still_scores_right(directory):
    rng = Random(3)
    scorer = model(directory, cached_tokens=40)
    for _ in range(6):
        path, siblings = segments(rng, 12, 6), segments(rng, 7, 7)
        [result] = scorer.score([ScoringCall.of(path, siblings)])
        assert result.scores == pytest.approx(expected(directory, path, siblings), abs=PARITY)

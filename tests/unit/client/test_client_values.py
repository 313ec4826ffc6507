"""What the client sends and understands, and when it tries again."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

import rstar_client
from rstar.v1 import tree_pb2, types_pb2
from rstar_client import errors, wire
from rstar_client.batches import SUBJECT
from rstar_client.retry import RetryPolicy
from rstar_common import rpc
from rstar_common import streams as topology


def test_unset_settings_are_left_to_the_server():
    assert wire.settings_to(rstar_client.Settings()) == types_pb2.SearchSettings()


def test_settings_are_sent_by_their_names():
    sent = wire.settings_to(
        rstar_client.Settings(
            strategy="step_beam", answer_selection="best_ppm", rollouts=4, max_wall_seconds=1.5
        )
    )
    assert sent.strategy == types_pb2.STRATEGY_STEP_BEAM
    assert sent.answer_selection == types_pb2.ANSWER_SELECTION_BEST_PPM
    assert sent.rollouts == 4
    assert sent.budget.max_wall_time.ToMilliseconds() == 1500


def test_a_result_says_what_other_rules_choose_as_far_as_their_names_are_known():
    found = tree_pb2.SearchResult(status=tree_pb2.SEARCH_STATUS_ANSWERED, answer="7")
    found.choices.add(rule=types_pb2.ANSWER_SELECTION_WEIGHTED_MAJORITY, answer="8")
    found.choices.add(rule=99, answer="9")  # of a later release
    assert wire.result_from(found).choices == {"weighted_majority": "8"}


def test_a_name_the_protos_do_not_know_is_refused_by_its_field():
    with pytest.raises(errors.InvalidInput) as refused:
        wire.settings_to(rstar_client.Settings(strategy="magic"))
    assert refused.value.field == "settings.strategy"
    assert "step_beam" in str(refused.value)


def test_a_problem_cannot_carry_its_reference():
    problem = rstar_client.Problem(problem_id="p", question="1 + 1?", answer_kind="number")
    assert not wire.problem_to(problem).HasField("reference")
    assert not hasattr(problem, "reference")


def test_the_errors_are_those_of_the_services():
    ours = {code: kind.__name__ for code, kind in errors.BY_CODE.items()}
    theirs = {code: kind.__name__ for kind, (_, code) in rpc.STATUS_BY_ERROR.items()}
    assert ours == theirs


def test_batches_are_published_where_the_intake_listens():
    assert topology.BATCH_SUBMIT == SUBJECT


@pytest.mark.parametrize("draw", range(5))
def test_a_full_service_is_asked_again_no_sooner_than_it_said(draw):
    error = errors.Overloaded("full", retry_after_seconds=3.0)
    pause = RetryPolicy().pause(error, 1, Random(draw))
    assert pause is not None
    assert 3.0 <= pause <= 4.5


def test_pauses_grow_and_have_a_longest():
    policy, rng = RetryPolicy(attempts=50, longest_pause_seconds=2.0), Random(0)
    pauses = [policy.pause(errors.Unavailable("gone"), n, rng) for n in range(1, 49)]
    assert all(0 < pause <= 2.0 for pause in pauses)
    assert pauses[0] < 0.25 < max(pauses[-5:])


@pytest.mark.parametrize(
    "error", [errors.InvalidInput("no"), errors.NotFound("no"), errors.DeadlineExceeded("no")]
)
def test_what_cannot_pass_is_not_tried_again(error):
    assert RetryPolicy().pause(error, 1, Random(0)) is None


def test_patience_ends():
    policy = RetryPolicy(attempts=2)
    assert policy.pause(errors.Unavailable("gone"), 1, Random(0)) is not None
    assert policy.pause(errors.Unavailable("gone"), 2, Random(0)) is None


def test_importing_the_client_loads_stubs_and_grpc_alone():
    program = (
        "import sys, rstar_client\n"
        "heavy = {'nats', 'pydantic', 'obstore', 'minio', 'torch', 'rstar_common', 'numpy'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr

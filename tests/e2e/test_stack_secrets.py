"""What the stack that all these tests used has let anybody see of its secrets: last of all."""

from __future__ import annotations

import pytest

from rstar_cli.local.exposure import exposures, secrets_of
from rstar_cli.local.process import program
from rstar_cli.local.procfs import marked
from rstar_cli.local.state import load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_no_secret_is_in_an_argument_a_log_a_metric_or_another_service_s_environment(rstar):
    state = load(rstar.home)
    assert set(marked(state.stack_id).values()) >= {"nats", "s3", "sandbox", "searcher1"}
    assert len(set(secrets_of(state).values())) == len(secrets_of(state))
    assert exposures(rstar.home, state) == []


def test_a_secret_that_is_shown_is_found(rstar):
    state = load(rstar.home)
    shown = {"program": program("nats-server"), "stack": state.stack_id}
    found = exposures(rstar.home, state, shown)
    assert any(place.startswith("program in the arguments") for place in found)
    assert any(place.startswith("stack in the environment of sandbox") for place in found)

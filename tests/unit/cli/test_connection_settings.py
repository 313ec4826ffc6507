"""Where the command finds a system elsewhere: typos and half addresses fail by their name."""

from __future__ import annotations

import os

import pytest

from rstar_cli.connection import endpoints
from rstar_common.errors import InvalidInput


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in os.environ:
        if name.startswith("RSTAR_CLI_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("RSTAR_CLI_SEARCHER", "localhost", "RSTAR_CLI_SEARCHER"),
        ("RSTAR_CLI_POLICY", "localhost:http", "RSTAR_CLI_POLICY"),
        ("RSTAR_CLI_SANDBOX", ":50051", "RSTAR_CLI_SANDBOX"),
        ("RSTAR_CLI_SEARCHERS", "localhost:50051", "RSTAR_CLI_SEARCHERS"),
        ("RSTAR_CLI_NATS__SERVER", "nats://localhost:4222", "RSTAR_CLI_NATS__SERVER"),
        ("RSTAR_CLI_NATS__SERVERS", "nats://localhost:4222", "RSTAR_CLI_*"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(monkeypatch, tmp_path, name, value, field):
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput) as refused:
        endpoints(tmp_path)
    assert refused.value.field == field
    assert "https://" not in str(refused.value)


def test_addresses_are_taken_as_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("RSTAR_CLI_SEARCHER", "math.example:50051")
    assert endpoints(tmp_path).searcher == "math.example:50051"


def test_models_of_another_system_are_not_taken_for_those_of_the_local_stack(monkeypatch, tmp_path):
    monkeypatch.setenv("RSTAR_CLI_SEARCHER", "math.example:50051")
    assert (endpoints(tmp_path).policy, endpoints(tmp_path).ppm) == ("", "")
    monkeypatch.setenv("RSTAR_CLI_POLICY", "math.example:50052")
    assert endpoints(tmp_path).policy == "math.example:50052"

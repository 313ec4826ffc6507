"""The compose file: valid, closed to the outside, without a password that anyone knows."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from rstar_cli.local.process import program
from tests.support.deployment import INFRA, SERVICES, run_tool, tools

pytestmark = pytest.mark.timeout(600)  # the first test fetches the tools

COMPOSE = INFRA / "compose"


@pytest.fixture
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return document


def secrets_of(file: Path) -> dict[str, str]:
    subprocess.run([COMPOSE / "secrets.sh", file], check=True, capture_output=True)
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def test_it_passes_the_compose_specification(compose: dict[str, Any]) -> None:
    schema = json.loads((tools() / "schemas" / "compose.json").read_text())
    del compose["name"]  # younger than the schema
    assert [error.message for error in Draft7Validator(schema).iter_errors(compose)] == []


def test_it_runs_every_service_and_what_they_need(compose: dict[str, Any]) -> None:
    others = {"nats", "s3", "prepare", "prometheus", "grafana"}
    assert set(compose["services"]) == {*SERVICES, *others}


def test_ports_are_on_loopback_alone(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_containers_have_no_capabilities_and_cannot_change_themselves(
    compose: dict[str, Any],
) -> None:
    for service in compose["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]
        assert not service.get("privileged")
        assert not any("docker.sock" in volume for volume in service.get("volumes", []))


def test_images_of_others_have_no_default_and_secrets_none_either(
    compose: dict[str, Any],
) -> None:
    for name, service in compose["services"].items():
        if name not in (*SERVICES, "prepare"):
            assert re.fullmatch(r"\$\{[A-Z0-9]+_IMAGE:\?[^}]+\}", service["image"])
        for key, value in service.get("environment", {}).items():
            if any(word in key for word in ("PASSWORD", "SECRET", "ACCESS_KEY")):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?[^}]+\}", value), key


def test_sandboxes_reach_nothing_and_know_no_secret(compose: dict[str, Any]) -> None:
    sandbox = compose["services"]["sandbox"]
    assert sandbox["networks"] == ["sandboxes"]
    assert compose["networks"]["sandboxes"] == {"internal": True}
    on_it = {name for name, s in compose["services"].items() if "sandboxes" in s["networks"]}
    assert on_it == {"sandbox", "searcher", "trainer", "prometheus"}
    assert "${" not in json.dumps(sandbox["environment"])


def test_every_variable_is_generated_or_asked_for(compose: dict[str, Any], tmp_path: Path) -> None:
    generated = secrets_of(tmp_path / ".env")
    text = json.dumps(compose)
    wanted = set(re.findall(r"\$\{([A-Z0-9_]+):\?", text))
    images = {name for name in wanted if name.endswith("_IMAGE")}
    outside = {name for name in generated if "_PUBLISHER_" in name or "_OBSERVER_" in name}
    assert wanted - images == set(generated) - {name for name in outside if name[:3] == "S3_"}
    assert len(images) == 4


def test_secrets_are_private_different_each_time_and_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a"
    first, second = secrets_of(file), secrets_of(tmp_path / "b")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for name, value in first.items():
        if not name.endswith("_USER"):
            assert len(value) == 32
            assert value != second[name]
    again = subprocess.run([COMPOSE / "secrets.sh", file], capture_output=True, check=False)
    assert again.returncode == 1
    assert dict(line.split("=", 1) for line in file.read_text().splitlines()) == first


def test_each_service_has_credentials_of_its_own_and_no_others(compose: dict[str, Any]) -> None:
    named = {
        name: set(re.findall(r"\$\{((?:NATS|S3)[A-Z0-9_]*):\?", json.dumps(one["environment"])))
        for name, one in compose["services"].items()
        if name in (*SERVICES, "prepare")
    }
    assert named.pop("sandbox") == set()
    assert named.pop("prepare") == {"NATS_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"}
    for name, variables in named.items():
        user = name.upper()
        assert variables == {
            f"NATS_{user}_PASSWORD",
            f"S3_{user}_ACCESS_KEY",
            f"S3_{user}_SECRET_KEY",
        }


def test_the_users_and_identities_are_those_of_the_code(tmp_path: Path) -> None:
    written = subprocess.run(
        [sys.executable, "-m", "rstar_common.nats_roles"], capture_output=True, check=True
    ).stdout
    assert (COMPOSE / "nats-users.conf").read_bytes() == written
    written = subprocess.run(
        [sys.executable, "-m", "rstar_common.store_roles"], capture_output=True, check=True
    ).stdout
    assert (COMPOSE / "s3-identities.json.in").read_bytes() == written
    values = secrets_of(tmp_path / ".env")
    private = tmp_path / "private" / "s3.json"
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    identities = json.loads(private.read_text())["identities"]
    keys = {key for one in identities for pair in one["credentials"] for key in pair.values()}
    assert keys == {value for name, value in values.items() if name.startswith("S3")}


def test_nats_and_prometheus_accept_their_files(tmp_path: Path) -> None:
    environment = {**os.environ, **secrets_of(tmp_path / ".env")}
    nats = [program("nats-server"), "--config", str(COMPOSE / "nats.conf"), "-t"]
    done = subprocess.run(nats, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    without = subprocess.run(nats, capture_output=True, text=True, check=False)
    assert without.returncode != 0
    # Inside the container the alerts lie beside it.
    config = tmp_path / "prometheus.yaml"
    config.write_text(
        (COMPOSE / "prometheus.yaml")
        .read_text()
        .replace("/etc/prometheus/alerts.yaml", str(INFRA / "observability" / "alerts.yaml"))
    )
    checked = run_tool("promtool", "check", "config", config)
    assert checked.returncode == 0, checked.stderr


def test_what_is_mounted_from_here_exists(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source == "./private/s3.json":  # secrets.sh writes it
                continue
            if source.startswith("."):
                assert (COMPOSE / source).exists(), source
            else:
                assert source in compose["volumes"]


def test_runs_of_self_evolution_reach_every_service_they_need(compose: dict[str, Any]) -> None:
    trainer = compose["services"]["trainer"]
    for tier in ("searcher", "policy", "ppm", "sandbox"):
        assert trainer["environment"][f"RSTAR_TRAINER_{tier.upper()}_ADDRESS"] == f"{tier}:50051"
        assert set(trainer["networks"]) & set(compose["services"][tier]["networks"])


def test_no_key_is_an_argument_of_a_program() -> None:
    script = (COMPOSE / "secrets.sh").read_text()
    assert "$(sed" not in script
    assert "sed -f -" in script

"""Dockerfiles keep our rules, and no service loads another's dependencies."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.deployment import INFRA, ROOT, SERVICES, run_tool

pytestmark = pytest.mark.timeout(600)  # the first test fetches the tools

IMAGES = INFRA / "images"


def dockerfile(service: str) -> list[str]:
    """Its instructions, continued lines joined."""
    text = (IMAGES / service / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def words_of(service: str, instruction: str) -> list[list[str]]:
    return [line.split()[1:] for line in dockerfile(service) if line.split()[0] == instruction]


def test_every_service_has_an_image_and_every_image_a_service() -> None:
    assert {path.parent.name for path in IMAGES.glob("*/Dockerfile")} == set(SERVICES)


def test_hadolint_has_no_complaints() -> None:
    files = sorted(IMAGES.glob("*/Dockerfile"))
    done = run_tool("hadolint", *files)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_the_base_is_a_digest_that_the_builder_must_name(service: str) -> None:
    assert "BASE_DIGEST" in [words[0] for words in words_of(service, "ARG")]
    froms = words_of(service, "FROM")
    assert len(froms) >= 2, "one stage installs, another runs"
    assert all(words[0].endswith("@${BASE_DIGEST}") for words in froms)


@pytest.mark.parametrize("service", SERVICES)
def test_it_runs_as_nobody_and_is_told_to_stop_directly(service: str) -> None:
    *_, user = words_of(service, "USER")
    assert user == ["65532:65532"]
    [entry] = [line for line in dockerfile(service) if line.startswith("ENTRYPOINT")]
    arguments = json.loads(entry.removeprefix("ENTRYPOINT "))
    assert arguments == ["/opt/venv/bin/python", "-m", f"rstar_{service}.main"]
    assert words_of(service, "STOPSIGNAL") == [["SIGTERM"]]
    assert not words_of(service, "HEALTHCHECK"), "health is asked over gRPC"
    assert not words_of(service, "CMD")


@pytest.mark.parametrize("service", SERVICES)
def test_it_holds_its_own_code_and_none_of_the_others(service: str) -> None:
    sources = [
        word
        for words in words_of(service, "COPY")
        for word in words[:-1]
        if not word.startswith("--")
    ]
    services = {path.split("/")[1] for path in sources if path.startswith("services/")}
    assert services == {service, "common"}
    assert not {".", "services", "tests"} & set(sources)
    copied_here = [path for path in sources if not path.startswith("/")]
    assert [path for path in copied_here if not (ROOT / path).exists()] == []
    ignored = (IMAGES / service / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied_here)


def test_no_secret_and_no_default_digest_is_written_down() -> None:
    for service in SERVICES:
        text = "\n".join(dockerfile(service))
        assert not re.search(r"(?i)password|secret|token=|api_key", text)
        assert not re.search(r"BASE_DIGEST=", text)


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_installed_is_the_base_and_its_own_extra(service: str) -> None:
    done = subprocess.run(
        [sys.executable, IMAGES / "requirements.py", service, ROOT / "pyproject.toml"],
        capture_output=True,
        text=True,
        check=True,
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = project["optional-dependencies"][service]
    assert done.stdout.splitlines() == [*project["dependencies"], *own]


def probed(service: str, *arguments: str) -> tuple[int, dict[str, list[str]]]:
    done = subprocess.run(
        [sys.executable, IMAGES / "probe.py", service, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("service", SERVICES)
def test_importing_a_service_loads_nobody_elses_dependencies(service: str) -> None:
    status, report = probed(service)
    assert report["forbidden"] == []
    assert status == 0


@pytest.mark.parametrize("service", SERVICES)
def test_an_entry_point_answers_without_torch(service: str) -> None:
    status, report = probed(service, "main")
    assert report["forbidden"] == []
    assert "torch" not in report["loaded"]
    assert status == 0


def test_the_probe_sees_what_it_is_there_to_see(tmp_path: Path) -> None:
    # A searcher that imports tokenizers, as it might by a careless line.
    package = tmp_path / "rstar_searcher"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "main.py").write_text("import tokenizers\n")
    done = subprocess.run(
        [sys.executable, IMAGES / "probe.py", "searcher"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["forbidden"] == ["tokenizers"]

"""The doctor names every fault that was planted, says what to do, and names no other."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from rstar_cli.doctor import engine, versions
from rstar_cli.doctor.finding import CHECKS
from rstar_cli.local.state import StackOptions, create, load


def test_a_machine_without_faults_has_none(tmp_path):
    create(tmp_path, StackOptions())
    found = examined(tmp_path)
    assert found["healthy"], faults(found)
    assert [finding["check"] for finding in found["findings"]] == list(CHECKS)


def test_six_planted_faults_are_named_and_no_other(tmp_path):
    home = tmp_path / "home"
    state = create(home, StackOptions())
    (home / "state.json").chmod(0o644)
    environment = {
        "PYTHONPATH": str(old_package(tmp_path / "site", "nats-py", "0.9")),
        "PATH": f"{broken_runsc(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}",
    }
    with listening_on(state.ports["searcher1"]), late_server() as store:
        environment["RSTAR_CLI_OBJECT_STORE__ENDPOINT"] = store
        found = examined(home, "--free-gib", "1000000", environment=environment, expect=1)
    planted = {
        "versions": "nats-py is 0.9",
        "ports": f"port {state.ports['searcher1']} of searcher1 is taken",
        "permissions": "state.json holds credentials and others may open it (644)",
        "clock": f"the store at {store} is -",
        "disk": "wanted are 1000000.0",
        "gvisor": "runs nothing here (systrap: no such luck",
    }
    named = faults(found)
    assert list(named) == list(planted)
    for check, words in planted.items():
        [finding] = named[check]
        assert words in finding["message"]
        assert finding["remedy"]
    assert not found["healthy"]


def test_people_are_told_what_to_do(tmp_path):
    create(tmp_path, StackOptions())
    (tmp_path / "state.json").chmod(0o640)
    done = doctor(tmp_path)
    assert done.returncode == 1
    assert "chmod 600" in done.stdout
    assert done.stdout.rstrip().endswith("1 fault")


def test_examining_changes_nothing(tmp_path):
    create(tmp_path, StackOptions())
    before = load(tmp_path), sorted(tmp_path.iterdir())
    doctor(tmp_path)
    assert (load(tmp_path), sorted(tmp_path.iterdir())) == before


def test_a_damaged_model_is_a_fault_of_the_engine(tmp_path):
    model = tmp_path / "model"
    shutil.copytree("models/policy", model)
    options = StackOptions(policy_model=str(model))
    assert not [finding for finding in engine.check(options) if finding.fault]
    with (model / "model.safetensors").open("ab") as file:
        file.write(b"x")
    [finding] = [finding for finding in engine.check(options) if finding.fault]
    assert "model.safetensors is missing or damaged" in finding.message


def test_a_server_that_is_too_old_is_known_by_what_it_says():
    assert versions.too_old("nats-server: v2.9.1", (2, 10))
    assert not versions.too_old("nats-server: v2.15.1", (2, 10))
    assert not versions.too_old("version 8000GB 4.48 pypi linux amd64", (4, 0))
    assert versions.too_old("", (4, 0))


def test_a_system_elsewhere_that_does_not_answer_is_a_fault_of_the_ports(tmp_path):
    with closed_port() as port:
        found = examined(
            tmp_path,
            environment={"RSTAR_CLI_SEARCHER": f"127.0.0.1:{port}"},
            expect=1,
        )
    assert list(faults(found)) == ["ports"]
    assert "gvisor" not in {finding["check"] for finding in found["findings"]}


def doctor(home, *arguments, environment=None):
    return subprocess.run(
        [sys.executable, "-m", "rstar_cli.main", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "RSTAR_HOME": str(home), "COLUMNS": "160", **(environment or {})},
    )


def examined(home, *arguments, environment=None, expect=0):
    done = doctor(home, "--json", *arguments, environment=environment)
    assert done.returncode == expect, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def faults(found):
    named = {}
    for finding in found["findings"]:
        if finding["fault"]:
            named.setdefault(finding["check"], []).append(finding)
    return named


def old_package(directory: Path, name: str, version: str) -> Path:
    """A directory in which a package seems to be installed at another version."""
    info = directory / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return directory


def broken_runsc(directory: Path) -> Path:
    directory.mkdir()
    script(
        directory / "runsc",
        '[ "$1" = --version ] && echo "runsc version 1" && exit; echo "no such luck" >&2; exit 128',
    )
    return directory


def script(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@contextmanager
def listening_on(port: int) -> Iterator[None]:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is held, so that nobody else listens there either."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def late_server() -> Iterator[str]:
    """An HTTP server whose clock is far behind; it refuses, as a store does."""

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def date_time_string(self, timestamp=None):
            return "Sat, 01 Nov 2025 10:00:00 GMT"

        def log_message(self, *args) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Late)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

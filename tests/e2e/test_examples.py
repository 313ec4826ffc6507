"""The examples run as their README says, and say what the command line says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

QUESTION = "Solve 3*x + 4 = 19 for x."
PYTHON = Path("examples/python")
NODE = Path("examples/node")


def test_every_example_and_the_command_line_give_the_same_answer(rstar):
    answer = rstar.json("solve", QUESTION, "--rollouts", "8", "--seed", "1")["answer"]
    assert answer == "5"
    for stem in ("solve", "solve_stream"):
        for command in (python(stem), node(stem)):
            assert run(rstar, *command, QUESTION).splitlines()[-1] == f"answer: {answer}"
    with_client = run(rstar, *python("client_solve"), QUESTION)
    assert with_client.splitlines()[-1] == f"answer: {answer}"


@pytest.mark.parametrize("how", ["python", "client", "node"])
def test_a_batch_is_published_and_read_by_an_example(rstar, how):
    command = {
        "python": lambda: python("publish_batch"),
        "client": lambda: python("client_batch"),
        "node": lambda: node("publish_batch"),
    }[how]()
    lines = run(rstar, *command).splitlines()
    assert lines[0].startswith("published example-")
    assert sorted(line.partition(":")[0] for line in lines[1:]) == ["derivative", "linear", "sum"]
    assert "linear: 5" in lines


@pytest.mark.parametrize("language", ["python", "node"])
def test_bad_input_is_reported_by_an_example(rstar, language):
    command = python("solve") if language == "python" else node("solve")
    done = execute(rstar, *command, " ")
    assert done.returncode == 1
    assert "INVALID_ARGUMENT" in done.stderr
    assert "problem.question" in done.stderr


def python(stem):
    return sys.executable, str(PYTHON / f"{stem}.py")


def node(stem):
    program = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    assert program, "no Node.js here; run: infra/install.sh tests"
    assert (NODE / "node_modules").is_dir(), "no packages here; run: infra/install.sh tests"
    return program, str(NODE / f"{stem}.js")


def run(rstar, *command):
    done = execute(rstar, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def execute(rstar, *command):
    environment = rstar.environment(rstar.json("env"))
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

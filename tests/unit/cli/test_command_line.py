"""The command answers at once, explains itself, and fails in one line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from rstar_cli.main import app

CORE = {
    *("up", "down", "status", "env", "doctor", "demo", "solve", "tree", "eval", "submit", "watch"),
    *("results", "batches", "pause", "resume", "cancel", "dead-letters", "checkpoints", "promote"),
    *("download-checkpoint", "jobs", "cancel-job", "train policy", "train ppm", "bench e2e"),
}


def commands():
    """Every command there is, those of groups with their group's name."""
    rstar = app()
    yield from (command.name for command in rstar.registered_commands)
    for group in rstar.registered_groups:
        for command in group.typer_instance.registered_commands:
            yield f"{group.name} {command.name}"


def rstar(*arguments, home):
    """Run the command in a home of its own, as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "rstar_cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "RSTAR_HOME": str(home), "COLUMNS": "100"},
    )


def test_the_commands_of_the_readme_are_there():
    assert set(commands()) >= CORE


@pytest.mark.parametrize("name", list(commands()))
def test_every_command_has_help_with_an_example(name):
    from typer.testing import CliRunner

    result = CliRunner().invoke(app(), [*name.split(), "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output


def test_it_says_which_version_it_is(tmp_path):
    told = rstar("--version", home=tmp_path)
    assert re.fullmatch(r"rstar \d+\.\d+\.\d+\n", told.stdout), told


def test_help_loads_nothing_that_would_make_people_wait():
    program = (
        "import sys; sys.argv = ['rstar', '--help']; from rstar_cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'nats', 'torch', 'numpy', 'pydantic', 'pyarrow',\n"
        "         'google.protobuf', 'obstore', 'httpx', 'cryptography'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("solve", "1 + 1?"),
        ("watch", "some-batch"),
        ("batches",),
        ("checkpoints",),
        ("tree", "s-1"),
        ("env",),
    ],
)
def test_without_a_stack_a_command_says_how_to_start_one(tmp_path, arguments):
    result = rstar(*arguments, home=tmp_path)
    assert result.returncode == 3
    assert result.stderr == "rstar: the stack is not up; start it with: rstar up\n"


def test_an_empty_question_is_refused_whether_or_not_there_is_a_stack(tmp_path):
    result = rstar("solve", "  ", home=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "rstar: question: must not be empty\n"


def test_a_missing_problem_file_is_named(tmp_path):
    result = rstar("submit", str(tmp_path / "none.jsonl"), home=tmp_path)
    assert result.returncode == 2
    assert "none.jsonl: cannot read" in result.stderr
    assert "Traceback" not in result.stderr


def test_references_are_not_sent_in_test_time_mode(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"question": "?", "answer": "1"}')
    result = rstar("submit", str(path), "--with-references", home=tmp_path)
    assert result.returncode == 2
    assert "--with-references: only with --mode" in result.stderr


def test_an_address_that_nobody_listens_on_is_one_line(tmp_path, monkeypatch):
    result = subprocess.run(
        [sys.executable, "-m", "rstar_cli.main", "solve", "1 + 1?"],
        capture_output=True,
        text=True,
        check=False,
        env={"RSTAR_CLI_SEARCHER": "127.0.0.1:1", "RSTAR_HOME": str(tmp_path)},
    )
    assert result.returncode == 3
    assert result.stderr.count("\n") == 1
    assert "Connection refused" in result.stderr


def test_down_without_a_stack_does_nothing(tmp_path):
    assert rstar("down", home=tmp_path).stdout == "nothing was running\n"

"""What a recipe and its files alone show to be wrong is refused without a stack, by the line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rstar_cli.evolution import left_out, read_sets
from rstar_cli.local.state import StackOptions, create
from rstar_cli.main import app
from rstar_cli.recipe import read_recipe
from rstar_common.errors import InvalidInput, Unavailable

RECIPE = """\
name = "small"
[[pools]]
name = "train"
path = "train.jsonl"
[[evaluation_sets]]
name = "held"
path = "held.jsonl"
form = "lines"
[[rounds]]
bootstrap = true
[rounds.search]
mode = "terminal_guided"
[[rounds.evaluations]]
name = "greedy"
set = "held"
[[rounds.gates]]
evaluation = "greedy"
min_accuracy = 0.5
"""

TRAIN, HELD = ":4: pools[0].path: ", ":7: evaluation_sets[0].path: "

FAULTS = {
    "unknown key": ("bootstrap = true", "boot = true", ":10: rounds[0].boot: unknown key"),
    "no label": (
        '"train.jsonl"',
        '"train.jsonl"\nonly = [{ values = ["a"] }]',
        ":5: pools[0].only[0].label: is missing",
    ),
    "nothing with a label": (
        '"train.jsonl"',
        '"train.jsonl"\nonly = [{ label = "source", values = ["a"] }]',
        ":5: pools[0].only: train.jsonl holds no problem with source a",
    ),
    "no pool": ("train.jsonl", "none.jsonl", TRAIN + "no file 'none.jsonl'"),
    "a folder": ("train.jsonl", "folder", TRAIN + "no file 'folder'"),
    "no such name": ("train.jsonl", "x" * 300, TRAIN + "cannot read: File name too long"),
    "no evaluation set": ("held.jsonl", "none.jsonl", HELD + "no file 'none.jsonl'"),
    "not JSON": ("held.jsonl", "prose.jsonl", HELD + "{}/prose.jsonl:2: not JSON"),
    "not gzip": ("held.jsonl", "prose.jsonl.gz", HELD + "{}/prose.jsonl.gz: cannot read"),
    "no problem": ("held.jsonl", "empty.jsonl", HELD + "{}/empty.jsonl: holds no problem"),
    "no answer": ("held.jsonl", "asked.jsonl", HELD + "{}/asked.jsonl: a has no answer"),
    "inside a pool": ('"held.jsonl"', '"part.jsonl"', HELD + "held lies inside the training pool"),
    "no evaluation": (
        'evaluation = "greedy"',
        'evaluation = "best"',
        ":17: rounds[0].gates[0].evaluation: no evaluation of this round 'best'",
    ),
    "beyond reach": ("= 0.5", "= 1.5", ":18: rounds[0].gates[0].min_accuracy: can never hold"),
    "nothing before": ("min_accuracy = 0.5", "max_drop = 0.1", ":18: rounds[0].gates[0].max_drop"),
    "no set": ('set = "held"', 'set = "other"', ":15: rounds[0].evaluations[0].set: no evaluation"),
    "no form": ('"lines"', '"line"', ":8: evaluation_sets[0].form: must be one of"),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Problem sets that are as they should be, and others."""
    asked = {"id": "a", "question": "1+1?"}
    right = json.dumps(asked | {"answer": 2}) + "\n"
    for name, text in {
        "train.jsonl": right,
        "held.jsonl": right.replace("1+1", "2+2"),
        "part.jsonl": right.replace("1+1?", "1 + 1"),
        "prose.jsonl": right + "Once upon a time\n",
        "prose.jsonl.gz": "Once upon a time\n",
        "empty.jsonl": "",
        "asked.jsonl": json.dumps(asked) + "\n",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What `--up` would have started."""
    begun: list[object] = []
    monkeypatch.setattr(
        "rstar_cli.commands.evolve._start_stack", lambda home, file: begun.append(file)
    )
    return begun


def evolve(directory: Path, text: str, *options: str) -> Result:
    """`rstar evolve` where there is no stack, and nothing to connect to."""
    (directory / "r.toml").write_text(text)
    arguments = ["evolve", str(directory / "r.toml"), "--home", str(directory / "home"), *options]
    return CliRunner().invoke(app(), arguments)


@pytest.mark.parametrize("option", ["--dry-run", "--detach", "--up"])
@pytest.mark.parametrize(("old", "new", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_recipe_is_refused_without_a_stack(directory, started, old, new, expected, option):
    result = evolve(directory, RECIPE.replace(old, new), option)
    assert isinstance(result.exception, InvalidInput), result.exception
    told = str(result.exception)
    assert told.startswith(f"{directory / 'r.toml'}{expected.format(directory)}"), told
    assert not started


def test_a_recipe_whose_files_are_right_needs_a_stack(directory, started):
    for options in (["--dry-run"], ["--up"]):
        assert isinstance(evolve(directory, RECIPE, *options).exception, Unavailable)
    assert len(started) == 1


def test_settings_that_a_stack_was_not_started_with_are_named(directory, monkeypatch):
    text = RECIPE + '[resources.environment]\nRSTAR_PPM_A = "1"\nRSTAR_PPM_B = "2"\n'
    assert "RSTAR_PPM_A" not in evolve(directory, text).output  # there is no stack
    create(directory / "home", StackOptions(environment={"RSTAR_PPM_A": "1"}))
    told = " ".join(evolve(directory, text).output.split())
    assert "the recipe sets RSTAR_PPM_B=2; as far as is known here the services were not" in told
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("RSTAR_CLI_SEARCHER", "127.0.0.1:1")
        elsewhere.setenv("RSTAR_CLI_TRAINER", "127.0.0.1:1")
        assert "the recipe sets" not in evolve(directory, text).output
    monkeypatch.setenv("RSTAR_PPM_B", "2")
    assert "the recipe sets" not in evolve(directory, text).output


def test_the_help_says_what_a_dry_run_does_all_the_same():
    shown = CliRunner().invoke(app(), ["evolve", "run", "--help"], terminal_width=200).output
    told = re.sub(r"[\s│]+", " ", shown)
    assert "begin no run. The problem sets are stored for it, and --up starts the stack" in told
    assert "do nothing" not in told


def test_sets_are_read_whole_and_say_where_they_will_be_stored(directory):
    (directory / "train.jsonl").write_text(
        '{"problem": "3+3?", "solution": "\\\\boxed{6}"}\n' * 2
        + '{"problem": "why?", "solution": "no"}\n'
    )
    (directory / "r.toml").write_text(
        RECIPE.replace('"train.jsonl"', '"train.jsonl"\nform = "numina"')
    )
    file = read_recipe(directory / "r.toml")
    train, held = read_sets(file)
    assert train.key == file.recipe.pools[0].problems_key
    assert held.key == file.recipe.evaluation_sets[0].problems_key
    assert train.key != held.key
    assert left_out([train, held]) == [
        "train: 1 problems without an answer that can be told are left out",
        "train: 1 repeated questions are taken once",
    ]

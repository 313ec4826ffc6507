"""Recipes are refused by the line at fault; those that ship are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from rstar.v1 import types_pb2
from rstar_cli.problem_forms import from_metamath, from_numina, read_form
from rstar_cli.recipe import line_of, read_recipe
from rstar_common.errors import InvalidInput

RECIPES = sorted((Path(__file__).parents[3] / "infra" / "recipes").glob("*.toml"))

SMALL = """\
name = "small"
[[pools]]
name = "train"
path = "x.jsonl"
[defaults.round.search]
mode = "terminal_guided"
[[rounds]]
bootstrap = true
[[rounds.evaluations]]
name = "one"
[[rounds.evaluations]]
name = "two"
[[rounds]]
problems = 5
[rounds.search]
rollouts = 8
[[rounds.gates]]
evaluation = "one"
"""


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as error:
        read_recipe(path)
    return str(error.value).removeprefix(str(path))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_that_ships_is_read(path):
    assert read_recipe(path).recipe.rounds


def test_defaults_lie_under_every_round(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(SMALL)
    rounds = read_recipe(path).recipe.rounds
    assert [r.search.mode for r in rounds] == [types_pb2.SEARCH_MODE_TERMINAL_GUIDED] * 2
    assert [r.search.rollouts for r in rounds] == [0, 8]


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("bootstrap = true", "boot = true", ":8: rounds[0].boot"),
        ("rollouts = 8", 'rollouts = "8"', ":16: rounds[1].search.rollouts"),
        ('mode = "terminal_guided"', 'mode = "best"', ":6: rounds[0].search.mode"),
        ("problems = 5", "problems = -5", ":14: rounds[1].problems"),
        ("[defaults.round", "[default.round", ":5: default"),
        ("problems = 5", "problems = 5_000_000_000", ":14: rounds[1].problems: must be at most"),
        ('evaluation = "one"', "min_accuracy = nan", ":18: rounds[1].gates[0].min_accuracy: must"),
        ("[defaults.round.search]", "[[defaults.round]]", ":5: defaults.round: must be a table"),
        ("[defaults.round.search]", "[[defaults]]", ":5: defaults: must be a table"),
    ],
)
def test_a_fault_is_named_by_its_line(tmp_path, old, new, where):
    assert refused(tmp_path, SMALL.replace(old, new)).startswith(where)


def test_fields_of_arrays_within_arrays_have_lines():
    assert line_of(SMALL, "rounds[0].evaluations[1].name") == 12
    assert line_of(SMALL, "rounds[1].gates[0].evaluation") == 18


def test_a_separator_within_a_comment_ends_no_line():
    assert line_of(f"# one\u2028two\x85three\n{SMALL}", "rounds[0].evaluations[1].name") == 13


def test_toml_that_is_none_is_refused(tmp_path):
    assert "line 1" in refused(tmp_path, "name = = 1")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "r.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(InvalidInput, match=r"r\.toml: 'utf-8' codec can't decode"):
        read_recipe(path)


def test_public_forms_give_question_answer_and_labels():
    assert from_numina(
        {"problem": "2+2?", "solution": r"so \boxed{\frac{8}{2}} holds", "source": "amc"}
    ) == ("2+2?", r"\frac{8}{2}", {"source": "amc"})
    assert from_metamath(
        {"query": "2+2?", "response": "It is 4.\nThe answer is: 4", "type": "MATH_FOBAR"}
    ) == ("2+2?", "4", {"type": "MATH_FOBAR"})


def test_a_public_line_without_an_answer_is_counted(tmp_path):
    path = tmp_path / "n.jsonl"
    path.write_text(
        '{"problem": "2+2?", "solution": "\\\\boxed{4}"}\n{"problem": "why?", "solution": "no"}\n'
    )
    found = read_form(path, form="numina", kind="", name="n")
    assert (found.problems, found.left_out) == (1, 1)
    assert b"ANSWER_KIND_LATEX" in found.data

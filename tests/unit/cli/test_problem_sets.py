"""Sets by name: local files first, then files of the hub's form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from rstar_cli.evaluation import hub
from rstar_cli.evaluation.problem_sets import ANSWER_KINDS, find
from rstar_cli.problems import read_problems, read_references
from rstar_common.errors import InvalidInput


def test_a_named_set_is_found_in_the_data_directory(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    path = tmp_path / "benchmarks" / "math500.jsonl"
    path.write_text('{"id": "math500/0", "question": "?", "answer": "\\\\frac12"}\n')
    found = find("math500", tmp_path)
    assert (found.name, found.path, found.answer_kind) == ("math500", path, "latex")


def test_the_mini_domain_is_the_projects_own_held_out_file():
    found = find("dm_math", None)
    problems = read_problems(found.path, kind=found.answer_kind)
    assert len({problem.labels["module"] for problem in problems}) >= 56
    assert read_references(found.path).keys() == {problem.problem_id for problem in problems}


def test_a_file_keeps_its_own_name_and_kind(tmp_path):
    path = tmp_path / "mine.jsonl.gz"
    path.write_bytes(b"")
    found = find(str(path), None, answer_kind="number")
    assert (found.name, found.answer_kind) == ("mine", "number")


def test_what_is_neither_is_refused_with_the_names_there_are():
    with pytest.raises(InvalidInput, match="gsm8k, math500"):
        find("gsm9k", None)


def test_every_set_of_the_hub_has_a_kind():
    assert set(hub.SETS) | {"dm_math"} == set(ANSWER_KINDS)


HUB_ROWS = {
    "gsm8k": [{"question": "How many?", "answer": "First 3.\nThen more.\n#### 1,234"}],
    "math500": [
        {
            "problem": "What?",
            "solution": "...",
            "answer": "\\frac{1}{2}",
            "subject": "Algebra",
            "level": 3,
            "unique_id": "test/algebra/1.json",
        }
    ],
    "aime2024": [
        {"id": 60, "problem": "Find.", "solution": "...", "answer": "204", "year": "2024"}
    ],
    "amc23": [{"id": 0, "question": "Which?", "answer": 27.0, "url": "x"}],
    "gaokao2023en": [{"question": "Given.", "answer": "1", "source": "x"}],
    "olympiadbench": [
        {
            "question": "Determine.",
            "final_answer": ["$2$", "3"],
            "subfield": "Algebra",
            "difficulty": "Competition",
        },
        {"question": "Prove.", "final_answer": None, "subfield": "x", "difficulty": "y"},
    ],
}
EXPECTED = {
    "gsm8k": ("1234", {}),
    "math500": ("\\frac{1}{2}", {"subject": "Algebra", "level": "3"}),
    "aime2024": ("204", {}),
    "amc23": ("27.0", {}),
    "gaokao2023en": ("1", {}),
    "olympiadbench": ("2, 3", {"subject": "Algebra", "level": "Competition"}),
}


@pytest.mark.parametrize("form", ["parquet", "jsonl", "json"])
@pytest.mark.parametrize("name", HUB_ROWS)
def test_files_of_the_hubs_form_become_the_projects(tmp_path, name, form):
    source = write(tmp_path / f"test-00000.{form}", HUB_ROWS[name])
    target = tmp_path / f"{name}.jsonl"
    lines = [json.dumps(problem) for problem in hub.converted(name, [source])]
    target.write_text("\n".join(lines))
    [problem] = read_problems(target)
    answer, labels = EXPECTED[name]
    assert problem.problem_id == f"{name}/0"
    assert dict(problem.labels) == labels
    assert read_references(target) == {f"{name}/0": answer}


def test_the_hubs_own_cache_is_read_without_a_network(tmp_path):
    """The hub's own client, in a process of its own, on a cache laid out as it writes one."""
    snapshot = tmp_path / "datasets--HuggingFaceH4--MATH-500" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    write(snapshot / "test.jsonl", HUB_ROWS["math500"])
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    program = (
        "import sys, pathlib; from rstar_cli.evaluation.problem_sets import find\n"
        "print(find('math500', pathlib.Path(sys.argv[1])).path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
    )
    path = Path(done.stdout.strip())
    assert path == tmp_path / "data" / "math500.jsonl"
    assert read_references(path) == {"math500/0": "\\frac{1}{2}"}


def test_a_row_without_a_field_is_named(tmp_path):
    source = write(tmp_path / "test.jsonl", [{"question": "?"}])
    with pytest.raises(InvalidInput, match="row 0 has no 'answer'"):
        list(hub.converted("amc23", [source]))


def write(path, rows):
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    return path

"""Public problem sets in the files they are published in."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from rstar_cli.problem_forms import from_metamath, from_numina, read_form
from rstar_cli.rows import ROWS_AT_ONCE, parts, read_rows
from rstar_common.errors import InvalidInput

NUMINA = [
    {
        "problem": "What is $1+1$?",
        "solution": "It is 2.",
        "answer": "2",
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "problem_is_valid": "Yes",
        "solution_is_valid": "Yes",
        "source": "amc_aime",
        "synthetic": False,
    },
    {"problem": "Prove it.", "solution": r"So \boxed{7}.", "answer": "proof", "source": "aops"},
    {"problem": "What else?", "solution": "See above.", "answer": "notfound", "source": "aops"},
    {"problem": "What is missing?", "solution": r"\boxed{3}", "answer": "", "source": "aops"},
    {"problem": "What is none?", "solution": r"\boxed{4}", "answer": None, "source": "aops"},
]
METAMATH = [
    {
        "type": "MATH_AnsAug",
        "query": "What is 2+2?",
        "original_question": "What is 2+2?",
        "response": "Two and two.\nThe answer is: 4",
    },
    {
        "type": "MATH_AnsAug",
        "query": "What is  2+2?\n",
        "original_question": "What is 2+2?",
        "response": "Count.\nThe answer is: 4",
    },
    {
        "type": "GSM_FOBAR",
        "query": "What is x if x + 2 = 5?",
        "original_question": "What is 3+2?",
        "response": "The answer is 5. So x is 3.\nThe answer is: 3",
    },
]


@pytest.mark.parametrize("name", ["n.parquet", "n.json", "n.jsonl", "n.json.gz", "n.jsonl.gz"])
def test_every_form_of_file_holds_the_same_rows(tmp_path, name):
    rows = [{"problem": "Is \u2028 a line?", "answer": "no"}, {"problem": "1?", "answer": "1"}]
    assert list(read_rows(write(tmp_path / name, rows))) == rows


def test_json_lines_that_are_called_json_are_read(tmp_path):
    path = tmp_path / "n.json"
    path.write_text('\n{"problem": "?"}\r\n\n{"problem": "??"}\n')
    assert [row["problem"] for row in read_rows(path)] == ["?", "??"]


def test_a_parquet_file_of_more_rows_than_are_held_at_once_is_read_whole(tmp_path):
    path = tmp_path / "n.parquet"
    table = pa.table({"n": list(range(2 * ROWS_AT_ONCE + 1))})
    parquet.write_table(table, path, row_group_size=1000)
    assert [row["n"] for row in read_rows(path)] == list(range(2 * ROWS_AT_ONCE + 1))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("n.json", b'[{"problem": "?"}', r"n\.json: not JSON"),
        ("n.json", b'[{"problem": "?"}, 7]', r"n\.json\[1\]: not a JSON object"),
        ("n.jsonl", b'{"problem": "?"}\n{', r"n\.jsonl:2: not JSON"),
        ("n.jsonl", b'{"problem": "?"}\n7', r"n\.jsonl:2: not a JSON object"),
        ("n.jsonl", b"\xff\xfe", r"n\.jsonl: cannot read"),
        ("n.jsonl.gz", gzip.compress(b"{}", mtime=0)[:-9], r"n\.jsonl\.gz: cannot read"),
        ("n.parquet", b"PAR1 but not really", r"n\.parquet: cannot read"),
    ],
)
def test_a_damaged_file_is_refused_naming_the_place(tmp_path, name, content, complaint):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=complaint):
        list(read_rows(path))


@pytest.mark.parametrize("name", ["none.jsonl", "none.json.gz", "none.parquet"])
def test_a_missing_file_is_refused_by_name(tmp_path, name):
    with pytest.raises(InvalidInput, match=f"{name}: cannot read"):
        list(read_rows(tmp_path / name))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path):
    path = write(tmp_path / "n.parquet", NUMINA[:1])
    program = (
        "import pathlib, sys; sys.modules['pyarrow'] = None\n"
        "from rstar_cli.rows import read_rows\n"
        "from rstar_common.errors import Unavailable\n"
        "try: list(read_rows(pathlib.Path(sys.argv[1])))\n"
        "except Unavailable as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert "pip install 'rstar-math[eval]'" in done.stdout


def test_numina_in_several_parts_is_read_by_the_name_of_one(tmp_path):
    for number, row in enumerate([NUMINA[0], {"problem": "And 3?", "answer": "3"}, NUMINA[1]]):
        write(tmp_path / f"train-{number:05}-of-00003.parquet", [row])
    found = read_form(tmp_path / "train-00001-of-00003.parquet", form="numina", kind="", name="n")
    assert [(one["problem_id"], one["reference"]) for one in problems(found)] == [
        ("n/1", "2"),
        ("n/2", "3"),
    ]
    assert (found.problems, found.left_out, found.repeated) == (2, 1, 0)


def test_a_part_that_is_missing_is_named(tmp_path):
    write(tmp_path / "train-00000-of-00002.parquet", NUMINA)
    with pytest.raises(InvalidInput, match=r"train-00001-of-00002\.parquet is not"):
        parts(tmp_path / "train-00000-of-00002.parquet")


def test_a_file_of_another_name_stands_for_itself(tmp_path):
    assert parts(tmp_path / "top-1-of-2.jsonl") == [tmp_path / "top-1-of-2.jsonl"]


def test_only_what_has_the_labels_asked_for_is_read(tmp_path):
    amc = {"problem": "1?", "answer": "1", "source": "amc_aime", "problem_type": "Algebra"}
    rows = [amc, amc | {"problem": "2?", "source": "orca_math"}, {"problem": "3?", "answer": "3"}]
    path = write(tmp_path / "n.jsonl", rows)

    def read(**only: str):
        wanted = {label: {value} for label, value in only.items()}
        return read_form(path, form="numina", kind="", name="n", only=wanted)

    found = read(source="amc_aime")
    assert (found.problems, found.others) == (1, 2)
    assert read(source="orca_math", problem_type="Algebra").problems == 1
    with pytest.raises(InvalidInput, match=r"holds no problem with source amc_aime and problem_"):
        read(source="amc_aime", problem_type="Geometry")
    lines = write(tmp_path / "l.jsonl", [{"question": f"{n}?", "answer": n, "k": n} for n in "ab"])
    found = read_form(lines, form="lines", kind="", name="l", only={"k": {"b"}})
    assert (found.problems, found.others) == (1, 1)
    assert b'"b?"' in found.data
    with pytest.raises(InvalidInput, match="holds no problem with k c"):
        read_form(lines, form="lines", kind="", name="l", only={"k": {"c"}})


def test_what_numina_answers_in_place_of_an_answer_is_no_reference(tmp_path):
    found = read_form(write(tmp_path / "n.parquet", NUMINA), form="numina", kind="", name="n")
    [problem] = problems(found)
    assert problem["reference"] == "2"
    assert problem["labels"] == {"source": "amc_aime", "problem_type": "Algebra"}
    assert (found.problems, found.left_out, found.repeated) == (1, 4, 0)


@pytest.mark.parametrize("answer", ["Proof", " notfound ", "", "  ", None])
def test_no_spelling_of_no_answer_falls_back_to_a_box(answer):
    row = {"problem": "?", "solution": r"\boxed{3}", "answer": answer}
    assert from_numina(row)[1] is None


def test_zero_is_an_answer():
    assert from_numina({"problem": "?", "answer": 0})[1] == "0"


def test_numina_without_a_field_for_answers_is_read_by_its_box():
    row = {
        "source": "cn_k12",
        "problem": "?",
        "solution": r"Thus \boxed{\frac{1}{2}}.",
        "messages": [],
    }
    assert from_numina(row) == ("?", r"\frac{1}{2}", {"source": "cn_k12"})


def test_metamath_as_one_array_takes_a_repeated_question_once(tmp_path):
    path = write(tmp_path / "MetaMathQA-395K.json", METAMATH)
    found = read_form(path, form="metamath", kind="", name="m")
    assert [(one["problem_id"], one["reference"]) for one in problems(found)] == [
        ("m/1", "4"),
        ("m/3", "3"),
    ]
    assert (found.problems, found.left_out, found.repeated) == (2, 0, 1)


def test_of_a_repeated_question_the_first_with_an_answer_is_taken(tmp_path):
    rows = [{**METAMATH[0], "response": "I give up."}, METAMATH[0], METAMATH[1]]
    path = write(tmp_path / "m.jsonl", rows)
    found = read_form(path, form="metamath", kind="", name="m")
    assert [one["problem_id"] for one in problems(found)] == ["m/2"]
    assert (found.problems, found.left_out, found.repeated) == (1, 1, 1)


def test_the_last_of_several_answers_of_metamath_counts():
    assert from_metamath(METAMATH[2])[1] == "3"


def problems(found):
    return [json.loads(line) for line in found.data.decode().splitlines()]


def write(path, rows):
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
        return path
    if ".jsonl" in path.name:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = json.dumps(rows, ensure_ascii=False, indent=1)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path

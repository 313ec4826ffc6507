"""Problem files: what is read, what is refused, and that references stay apart."""

from __future__ import annotations

import gzip
import json

import pytest

from rstar.v1 import types_pb2
from rstar_cli.problems import read_problems, read_references
from rstar_common.errors import InvalidInput
from rstar_common.spread import spread


def test_a_line_becomes_a_problem_with_labels_and_without_its_answer(tmp_path):
    path = write(tmp_path, {"id": "a/1", "question": "1+1?", "answer": "2", "module": "m", "n": 3})
    [problem] = read_problems(path)
    proto = problem.to_proto()
    assert proto.problem_id == "a/1"
    assert dict(proto.labels) == {"module": "m", "n": "3"}
    assert proto.answer_kind == types_pb2.ANSWER_KIND_EXACT
    assert not proto.HasField("reference")
    assert b"2" not in proto.SerializeToString()


def test_references_are_read_apart(tmp_path):
    path = write(tmp_path, {"id": "a", "question": "?", "answer": 2}, {"id": "b", "question": "?"})
    assert read_references(path) == {"a": "2"}


@pytest.mark.parametrize(
    "answer", [True, [5], {"x": 1}, float("nan"), float("inf"), "", "  "], ids=repr
)
def test_what_can_be_no_answer_is_refused(tmp_path, answer):
    path = write(tmp_path, {"question": "?", "answer": 2}, {"question": "?", "answer": answer})
    with pytest.raises(InvalidInput) as refused:
        read_references(path)
    assert refused.value.field == f"{path}:2: answer"


def test_a_reference_that_is_nothing_leaves_the_answer(tmp_path):
    path = write(tmp_path, {"id": "a", "question": "?", "reference": None, "answer": "5"})
    assert read_references(path) == {"a": "5"}


def test_a_line_without_an_id_is_named_after_its_number(tmp_path):
    path = write(tmp_path, {"question": "?"}, {"question": "??"})
    assert [problem.problem_id for problem in read_problems(path)] == ["line-1", "line-2"]


def test_a_line_may_name_its_answer_kind(tmp_path):
    path = write(tmp_path, {"id": "a", "question": "?", "answer_kind": "latex"})
    assert read_problems(path)[0].answer_kind == types_pb2.ANSWER_KIND_LATEX


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["{"], "1: not JSON"),
        (["[]"], "1: not a JSON object"),
        (['{"id": "a"}'], "question: missing"),
        (['{"id": "a b", "question": "?"}'], "id: must be"),
        (['{"id": "a", "question": "?", "answer_kind": "x"}'], "answer_kind: is none of"),
        (['{"id": "a", "question": "?"}'] * 2, "a appears twice"),
        ([], "holds no problem"),
    ],
)
def test_a_bad_file_is_refused_naming_the_line(tmp_path, lines, complaint):
    path = tmp_path / "problems.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=complaint):
        read_problems(path)


def test_a_gzipped_file_is_read_and_a_damaged_one_refused(tmp_path):
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": "a", "question": "?"}'))
    assert len(read_problems(path)) == 1
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InvalidInput, match="cannot read"):
        read_problems(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.jsonl") as refused:
        read_problems(tmp_path / "none.jsonl")
    assert str(refused.value).count("none.jsonl") <= 1, "beside the field that names it"


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_separator_within_a_question_ends_no_line(tmp_path, separator):
    line = json.dumps({"question": f"1{separator}+ 1?", "answer": "2"}, ensure_ascii=False)
    path = tmp_path / "problems.jsonl"
    path.write_bytes(f"{line}\r\n{line}\n".encode())
    assert [problem.question for problem in read_problems(path)] == [f"1{separator}+ 1?"] * 2
    assert read_references(path) == {"line-1": "2", "line-2": "2"}


def test_a_part_of_a_sorted_file_represents_it_whole(tmp_path):
    lines = [{"id": f"{module}-{n}", "question": "?"} for module in "abcd" for n in range(10)]
    chosen = spread(read_problems(write(tmp_path, *lines)), 8)
    assert [problem.problem_id[0] for problem in chosen] == list("aabbccdd")


def write(directory, *lines):
    path = directory / "problems.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path

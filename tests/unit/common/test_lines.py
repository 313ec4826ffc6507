"""Lines that name an object are the same in every process."""

from __future__ import annotations

import json

from rstar.v1 import types_pb2
from rstar_common.lines import json_line, json_lines

LABELS = {"subject": "numbers", "level": "easy", "source": "x", "split": "train", "module": "m"}


def test_labels_come_in_one_order_whatever_order_the_map_has() -> None:
    one = types_pb2.Problem(problem_id="a", question="1 + 1?", labels=LABELS)
    other = types_pb2.Problem(
        problem_id="a", question="1 + 1?", labels=dict(reversed(LABELS.items()))
    )
    assert json_line(one) == json_line(other)
    assert list(json.loads(json_line(one))["labels"]) == sorted(LABELS)


def test_every_message_has_a_line_of_its_own() -> None:
    problems = [types_pb2.Problem(problem_id=one, question="é\n1") for one in "ab"]
    lines = json_lines(problems).decode().splitlines()
    assert [json.loads(line)["problem_id"] for line in lines] == ["a", "b"]

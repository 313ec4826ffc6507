"""The soak and the bench cannot flatter: growth is noticed, and no text is run twice."""

from __future__ import annotations

from random import Random

import pytest

from rstar.v1 import types_pb2
from rstar_sandbox.bench.work import STEPS, Numbers
from rstar_sandbox.soak.__main__ import grown
from rstar_sandbox.soak.snippets import limited, printed, raised, snippet


def state(memory: int) -> dict[str, int]:
    return {"processes": 70, "memory_mib": memory}


@pytest.mark.parametrize(
    ("memory", "grew"),
    [
        ([800] * 20, []),
        ([800, 950, 820, 790] * 5, []),
        ([800 + 20 * look for look in range(20)], ["memory_mib"]),
        ([800], []),
    ],
)
def test_growth_is_told_from_ups_and_downs(memory, grew):
    assert grown([state(value) for value in memory]) == grew


def test_snippets_are_of_every_temper_and_new_each_time():
    rng = Random(0)
    drawn = [snippet(rng) for _ in range(2000)]
    assert {item.kind for item in drawn} == {"valid", "raising", "looping", "hostile"}
    assert len({item.code for item in drawn}) > 1950


def test_an_outcome_that_is_not_as_it_must_be_is_noticed():
    ok = types_pb2.ExecutionOutcome(stdout="1\n")
    failed = types_pb2.ExecutionOutcome(exception=types_pb2.RaisedException(type="KeyError"))
    ended = types_pb2.ExecutionOutcome(stdout="1\n", limit=types_pb2.LIMIT_KIND_CPU)
    checks = {
        printed("1\n"): ok,
        raised("KeyError"): failed,
        limited(types_pb2.LIMIT_KIND_CPU): ended,
    }
    for check, outcome in checks.items():
        assert [check(other) for other in (ok, failed, ended)] == [
            other is outcome for other in (ok, failed, ended)
        ]


def test_no_text_of_the_bench_comes_twice():
    for step in STEPS.values():
        numbers = Numbers()
        texts = [text for _ in range(50) for text in numbers.siblings(step, 8)]
        assert len(set(texts)) == len(texts)
    numbers = Numbers()
    assert len({tuple(numbers.chain(forked=False)) for _ in range(50)}) == 50

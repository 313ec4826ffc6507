"""An error is the same on the other side, and a special one is at least its own kind."""

from __future__ import annotations

import pytest

from rstar.v1 import types_pb2
from rstar_common.errors import Conflict, InvalidInput, Overloaded, RstarError
from rstar_common.rpc import STATUS_BY_ERROR, error_from, failure_of


class Special(Conflict):
    """As a service defines one for itself."""


@pytest.mark.parametrize("kind", STATUS_BY_ERROR)
def test_every_kind_comes_back_as_itself(kind):
    error = kind("why")
    there = error_from(failure_of(error))
    assert type(there) is kind
    assert str(there) == str(error)


def test_fields_and_hints_come_along():
    there = error_from(failure_of(InvalidInput("why", field="problem.question")))
    assert there.field == "problem.question"
    there = error_from(failure_of(Overloaded("full", retry_after_seconds=2.5)))
    assert there.retry_after_seconds == 2.5


def test_a_special_error_is_its_own_kind_and_a_bug_is_told_without_its_words():
    assert type(error_from(failure_of(Special("why")))) is Conflict
    assert failure_of(RstarError("why")).code == types_pb2.FAILURE_CODE_INTERNAL
    bug = failure_of(ValueError("the password is 1234"))
    assert bug.code == types_pb2.FAILURE_CODE_INTERNAL
    assert "1234" not in bug.message

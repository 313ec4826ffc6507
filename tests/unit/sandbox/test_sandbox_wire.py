"""What crosses the sandbox's wall, and limits."""

from __future__ import annotations

import struct

import pytest

from rstar_common.errors import InvalidInput
from rstar_sandbox.guest import frames
from rstar_sandbox.guest.outcome import Report, Status
from rstar_sandbox.limits import RunLimits, resolve
from rstar_sandbox.outcomes import LimitHit, RunOutcome, RunsReport
from rstar_sandbox.settings import LimitSection, SandboxSettings


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_frames_survive_any_cutting(size):
    messages = [{"id": n, "text": "ä" * n} for n in range(20)]
    stream = b"".join(frames.encode(message) for message in messages)
    reader, received = frames.Reader(), []
    for start in range(0, len(stream), size):
        received += reader.feed(stream[start : start + size])
    assert received == messages


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack("<I", 2**31) + b"x",
        struct.pack("<I", 4) + b"nope",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 200_000) + b"[" * 200_000,
        struct.pack("<I", 2) + b"\xff\xfe",
    ],
)
def test_gibberish_is_a_value_error(stream):
    with pytest.raises(ValueError):  # noqa: PT011 whichever: the sandbox is replaced
        frames.Reader().feed(stream)


def test_a_report_survives_packing_and_is_cut_to_size():
    report = Report(Status.RAISED, 7, "ValueError", "ö" * 3000)
    unpacked = Report.unpack(report.pack())
    assert unpacked == Report(Status.RAISED, 7, "ValueError", "ö" * 1000)


@pytest.mark.parametrize("data", [b"", b"x", b"\x00" * 10, b"\xff" * 11, bytes(500)])
def test_what_is_no_report_is_none(data):
    assert Report.unpack(data) is None


GOOD = {"stdout": "1\n", "truncated": False, "limit": "", "wall": 0.1, "cpu": 0.1}


def test_an_outcome_is_read():
    outcome = RunOutcome.from_message(GOOD | {"exception": ["E", "m" * 5000, 3]})
    assert outcome.exception
    assert (outcome.exception.type, outcome.exception.line) == ("E", 3)
    assert len(outcome.exception.message) == 1000
    assert outcome.limit is LimitHit.NONE


@pytest.mark.parametrize(
    "claim",
    [
        None,
        [],
        {},
        GOOD | {"stdout": 5},
        GOOD | {"limit": "gravity"},
        GOOD | {"wall": -1},
        GOOD | {"wall": float("nan")},
        GOOD | {"cpu": "much"},
        GOOD | {"exception": ["E"]},
        GOOD | {"exception": ["E", "m", 2**40]},
        GOOD | {"exception": ["E", "m", "3"]},
    ],
)
def test_an_outcome_that_no_guest_of_ours_says_is_refused(claim):
    with pytest.raises(ValueError):  # noqa: PT011 whichever: the sandbox is replaced
        RunOutcome.from_message(claim)


def test_a_report_must_have_an_outcome_for_each_sibling():
    message = {"outcomes": [GOOD], "cpu": 0.1, "path_failed": False}
    assert RunsReport.from_message(message, 1).outcomes[0].stdout == "1\n"
    with pytest.raises(ValueError, match="1 outcomes of 2 siblings"):
        RunsReport.from_message(message, 2)


def test_lone_surrogates_do_not_reach_the_wire():
    assert RunOutcome.from_message(GOOD | {"stdout": "\ud800"}).stdout == "?"


def test_unset_limits_are_the_defaults():
    settings = SandboxSettings()
    assert resolve(RunLimits(), settings.limits, settings.ceilings) == settings.limits


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        (RunLimits(wall_seconds=61), "limits.wall_seconds"),
        (RunLimits(cpu_seconds=0), "limits.cpu_seconds"),
        (RunLimits(cpu_seconds=-1), "limits.cpu_seconds"),
        (RunLimits(memory_bytes=2**40), "limits.memory_bytes"),
        (RunLimits(memory_bytes=1), "limits.memory_bytes"),
        (RunLimits(open_files=1), "limits.open_files"),
        (RunLimits(processes=1000), "limits.processes"),
        (RunLimits(output_bytes=2**30), "limits.output_bytes"),
    ],
)
def test_a_limit_above_its_ceiling_is_refused_naming_it(wishes, field):
    settings = SandboxSettings()
    with pytest.raises(InvalidInput) as refusal:
        resolve(wishes, settings.limits, settings.ceilings)
    assert refusal.value.field == field


def test_a_wish_within_its_ceiling_is_granted():
    defaults, ceilings = LimitSection(), SandboxSettings().ceilings
    granted = resolve(RunLimits(wall_seconds=20, processes=3), defaults, ceilings)
    assert (granted.wall_seconds, granted.processes) == (20, 3)
    assert granted.memory_bytes == defaults.memory_bytes

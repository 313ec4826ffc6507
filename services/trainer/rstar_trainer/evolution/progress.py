"""How far a run is and how long it takes still: its plan, scaled by how the plan held so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2
from rstar_trainer.evolution.estimate import training_tokens

LEAST_SHARE = 0.12
"""Of a phase, that says something about its speed: a job is at 0.1 when it begins to train."""

LATEST = 2
"""Phases of a kind that say how fast it goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phase:
    """A phase of a round, as it was planned and as it went."""

    trains: bool
    planned: float
    """Seconds."""

    done: float = 0.0
    """A share."""

    real: float = 0.0
    """Seconds it has taken so far."""


def seconds_left(
    plan: Sequence[evolution_pb2.PlannedRound],
    run: evolution_pb2.Run,
    share_of_phase: float,
) -> float:
    """Planned seconds of what is not done, scaled by how the planned seconds held lately.

    What trains and what runs programs are scaled apart: their plans err for other reasons. The
    phase under way counts by its share. Where the system was slow, a phase took longer than it
    would again: the latest phases say most.
    """
    phases = _phases(plan, run, share_of_phase)
    left = 0.0
    for trains in (True, False):
        alike = [phase for phase in phases if phase.trains == trains]
        told = [phase for phase in alike if phase.real and phase.done >= LEAST_SHARE][-LATEST:]
        planned, real = sum(one.planned * one.done for one in told), sum(one.real for one in told)
        scale = real / planned if planned else 1.0
        left += scale * sum(phase.planned * (1 - phase.done) for phase in alike)
    return left


def progress(
    plan: Sequence[evolution_pb2.PlannedRound], run: evolution_pb2.Run, share_of_phase: float
) -> float:
    """Planned seconds of what is done, as a share of all."""
    phases = _phases(plan, run, share_of_phase)
    total = sum(phase.planned for phase in phases)
    return sum(phase.planned * phase.done for phase in phases) / total if total else 0.0


def _phases(
    plan: Sequence[evolution_pb2.PlannedRound],
    run: evolution_pb2.Run,
    share_of_phase: float,
) -> list[_Phase]:
    names = evolution_pb2.RoundPhase
    searched = [planned.problems for planned in plan]
    phases = []
    for number, planned in enumerate(plan):
        report = run.rounds[number] if number < len(run.rounds) else None
        policy, ppm = training_tokens(run.recipe, searched, number)
        policy_seconds = planned.training_seconds * policy / ((policy + ppm) or 1)
        for phase, trains, seconds in (
            (names.ROUND_PHASE_SEARCHING, False, planned.search_seconds),
            (names.ROUND_PHASE_TRAINING_POLICY, True, policy_seconds),
            (names.ROUND_PHASE_TRAINING_PPM, True, planned.training_seconds - policy_seconds),
            (names.ROUND_PHASE_EVALUATING, False, planned.evaluation_seconds),
        ):
            done = real = 0.0
            if report is not None and phase_name(phase) in report.seconds:
                done, real = 1.0, report.seconds[phase_name(phase)]
            elif report is not None and report.phase == phase:
                done, real = share_of_phase, report.phase_seconds
            elif report is not None and report.phase > phase:
                done = 1.0
            phases.append(_Phase(trains=trains, planned=seconds, done=done, real=real))
    return phases


def part_of_phase(planned: Sequence[float], number: int) -> tuple[float, float]:
    """Where a phase's part of that number begins and how much of it it is: shares of the phase.

    `planned` are the seconds of its parts.
    """
    total = sum(planned)
    if not total:
        return number / max(1, len(planned)), 1 / max(1, len(planned))
    return sum(planned[:number]) / total, sum(planned[number : number + 1]) / total


def phase_name(phase: evolution_pb2.RoundPhase.ValueType) -> str:
    """A phase as it is told to people: `searching`."""
    name = evolution_pb2.RoundPhase.Name(phase)
    return name.removeprefix("ROUND_PHASE_").lower().replace("_", " ")

"""Phases too short for a kill to strike in a run: done again after a death, they change nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.checkpoints import Manifest
from rstar_trainer.evolution.phase_clock import PhaseClock
from rstar_trainer.evolution.preparation import Prepared
from rstar_trainer.evolution.problems import PoolProblem
from rstar_trainer.evolution.rounds import Phase, Rounds
from rstar_trainer.evolution.searching import Material


class Died(BaseException):
    """The trainer was killed."""


class System:
    """Store and pointers in memory; the trainer dies at the write of this number."""

    def __init__(self, dies_at: int) -> None:
        self.objects: dict[str, bytes] = {}
        self.promoted = {"policy": "before", "ppm": "ppm-before"}
        self.writes = 0
        self.dies_at = dies_at
        self.store = self

    def _written(self) -> None:
        self.writes += 1
        if self.writes == self.dies_at:
            raise Died

    async def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data
        self._written()

    async def get(self, key: str) -> bytes:
        if key in self.objects:
            return self.objects[key]
        _, model, version, _ = key.split("/")
        return Manifest(model=model, version=version, prompt_format="mini", files={}).to_json()

    async def promote(self, manifest: Manifest) -> None:
        self.promoted[manifest.model] = manifest.version
        self._written()

    place = promote


def run_of(phase: Phase.ValueType) -> evolution_pb2.Run:
    run = evolution_pb2.Run(run_id="r", policy_version="old", policy_before="before")
    run.ppm_before = "ppm-before"
    round_ = run.recipe.rounds.add(problems=5)
    round_.evaluations.add(name="greedy", set="held")
    round_.gates.add(evaluation="greedy", min_accuracy=0.5)
    report = run.rounds.add(round=0, phase=phase, policy_version="new", ppm_version="ppm-new")
    report.evaluations.add(name="greedy", problems=10, accuracy=0.7)
    return run


async def carried_out(system: System, phase: Phase.ValueType) -> evolution_pb2.Run:
    """The phase, by trainers that die, each from the record that the phase began with."""
    problems = [
        PoolProblem(pool="t", problem=types_pb2.Problem(problem_id=f"p{n}", question=f"{n}?"))
        for n in range(20)
    ]
    material = Material(problems=problems, sets={}, excluded=frozenset())
    prepared = Prepared(material=material, plan=[evolution_pb2.PlannedRound()], matches=[])
    while True:
        run = run_of(phase)
        rounds = Rounds(
            SimpleNamespace(), system, SimpleNamespace(), prepared, PhaseClock(0.0), lambda *_: None
        )
        try:
            await rounds.advance(run)
        except Died:
            continue
        run.rounds[0].ClearField("seconds")  # which differ
        return run


@pytest.mark.parametrize("phase", [Phase.ROUND_PHASE_PREPARING, Phase.ROUND_PHASE_DECIDING])
async def test_a_phase_that_died_at_any_write_ends_as_one_that_did_not(phase):
    undisturbed = System(dies_at=0)
    expected = await carried_out(undisturbed, phase)
    assert expected.rounds[0].phase == phase + 1
    assert undisturbed.writes > 0
    for number in range(1, undisturbed.writes + 1):
        struck = System(dies_at=number)
        assert await carried_out(struck, phase) == expected
        assert struck.writes == undisturbed.writes + number
        assert (struck.objects, struck.promoted) == (undisturbed.objects, undisturbed.promoted)
    if phase == Phase.ROUND_PHASE_DECIDING:
        assert undisturbed.promoted == {"policy": "new", "ppm": "ppm-new"}
    else:
        assert undisturbed.objects[expected.rounds[0].problems_key].count(b"\n") == 5

"""The parameter sets: how fast the simulated services are, and how long their work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rstar_common.processor_sharing import EngineSpeed
from rstar_searcher.bench.world import World

PROBLEMS = 64
ROLLOUTS = 16
CANDIDATES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """One set."""

    name: str
    engine: EngineSpeed
    world: World = field(default_factory=World)
    executions: int = 12
    """Programs at once."""

    ppm_call_seconds: float = 0.020
    ppm_candidate_seconds: float = 0.002
    instant: bool = False
    """Nothing waits at all."""

    digest: str = ""
    """What `work_digest` must be for all problems, where it is known."""


BASE = Parameters(
    name="base",
    engine=EngineSpeed(running=256, per_sequence=60.0, total=4_000.0),
    digest="3357c98b5d797af8",
)

H100 = Parameters(
    name="h100",
    engine=EngineSpeed(running=1_024, per_sequence=120.0, total=50_000.0),
    digest="3357c98b5d797af8",
)
"""Like an H100. The world is the base set's, so the work is too."""

HEAVY_TAIL = Parameters(
    name="heavy-tail",
    engine=EngineSpeed(running=256, per_sequence=60.0, total=4_000.0),
    world=World(length_sigma=1.2, execution_sigma=1.5),
    # Lengths and times do not shape the tree: the work is the base set's.
    digest="3357c98b5d797af8",
)

CPU = Parameters(
    name="cpu",
    engine=EngineSpeed(running=32, per_sequence=225.0, total=1_100.0),
    # Steps of the mini models are short; two sandboxes do 27 runs a second.
    world=World(median_tokens=20.0, median_execution_seconds=0.065, execution_sigma=0.5),
    executions=2,
    # 4 M parameters: what scoring a token costs dwarfs what a call costs.
    ppm_call_seconds=0.010,
    ppm_candidate_seconds=0.004,
    digest="3357c98b5d797af8",
)
"""Fitted to the real CPU engine and sandbox on two cores; see docs/log.md for the figures."""

INSTANT = Parameters(
    name="instant",
    engine=EngineSpeed(running=10**9, per_sequence=1e12, total=1e18),
    world=World(final_depth=8),
    instant=True,
)
"""No waiting at all, and trees of depth 8: what is left is our own overhead."""

INSTANT_SHORT = replace(
    INSTANT, name="instant-short", world=World(final_depth=6, median_tokens=14.0)
)
"""Steps as short as the mini models', so that trajectories fit their context."""

AMPLE = Parameters(
    name="ample",
    engine=EngineSpeed(running=10**6, per_sequence=120.0, total=1e9),
    executions=10**6,
    ppm_call_seconds=0.001,
    ppm_candidate_seconds=0.0,
)
"""Room for everybody at an H100's pace: never what limits."""

SCARCE = {
    "policy": replace(
        AMPLE, name="few-tokens", engine=EngineSpeed(running=1_024, per_sequence=120.0, total=1_200)
    ),
    "ppm": replace(AMPLE, name="few-scores", ppm_call_seconds=0.020, ppm_candidate_seconds=0.025),
    "sandbox": replace(AMPLE, name="few-slots", executions=6),
}
"""By tier: a replica that is used up by half a problem a second or so."""

SETS = {parameters.name: parameters for parameters in (BASE, H100, HEAVY_TAIL, CPU)}
ALL_SETS = SETS | {
    parameters.name: parameters for parameters in (INSTANT, INSTANT_SHORT, AMPLE, *SCARCE.values())
}

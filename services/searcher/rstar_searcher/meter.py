"""What a search has cost so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Meter:
    """Counters of one search; the fields of `rstar.v1.Cost`."""

    generated_tokens: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    ppm_tokens: int = 0
    policy_calls: int = 0
    ppm_calls: int = 0
    sandbox_runs: int = 0
    sandbox_seconds: float = 0.0
    wall_seconds: float = 0.0
    retries: int = 0
    expansions: int = 0
    rollouts: int = 0

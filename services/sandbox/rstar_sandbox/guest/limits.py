"""What a run may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one run. Seconds and bytes."""

    wall: float
    cpu: float
    memory: int
    processes: int
    file: int
    files: int
    output: int

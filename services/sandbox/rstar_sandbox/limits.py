"""Limits of one run: the request's wishes, the defaults, the ceilings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rstar_common.errors import InvalidInput
from rstar_sandbox.settings import LimitSection


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Limits of one run; None means the default."""

    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    file_bytes: int | None = None
    open_files: int | None = None
    output_bytes: int | None = None


def resolve(wishes: RunLimits, defaults: LimitSection, ceilings: LimitSection) -> LimitSection:
    """What a run gets.

    Raises:
        InvalidInput: a wish is above its ceiling or makes no sense.
    """
    values: dict[str, Any] = defaults.model_dump()
    for name, wish in asdict(wishes).items():
        if wish is None:
            continue
        ceiling = getattr(ceilings, name)
        if not 0 < wish <= ceiling:
            raise InvalidInput(f"must be in (0, {ceiling}]", field=f"limits.{name}")
        values[name] = wish
    if values["memory_bytes"] < 2**24:
        raise InvalidInput("must be at least 16 MiB", field="limits.memory_bytes")
    if values["open_files"] < 16:
        raise InvalidInput("must be at least 16", field="limits.open_files")
    return LimitSection(**values)


def to_message(limits: LimitSection) -> dict[str, float | int]:
    """As the guest reads them."""
    return {
        "wall": limits.wall_seconds,
        "cpu": limits.cpu_seconds,
        "memory": limits.memory_bytes,
        "processes": limits.processes,
        "file": limits.file_bytes,
        "files": limits.open_files,
        "output": limits.output_bytes,
    }

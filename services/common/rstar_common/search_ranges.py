"""What a search may ask for: said once for the searcher that refuses it and for who plans searches.

A recipe's rounds are searched hours after it was submitted; the trainer checks them at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rstar_common.errors import InvalidInput

MAX_EXTRA_ROLLOUTS = 8

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "rollouts": (1, 1024),
        "candidates": (1, 64),
        "parallel_rollouts": (1, 64),
        "exploration": (0, 100),
        "top_k": (1, 1024),
        "temperature": (0, 2),
        "top_p": (0, 1),
        "max_depth": (1, 64),
        "max_step_tokens": (1, 8192),
        "max_trajectory_tokens": (1, 65536),
        "stop_after_right": (0, 1024),
        "enough_candidates": (0, 64),
        "trees": (1, 128),
        "max_generated_tokens": (1, 100_000_000),
        "max_sandbox_seconds": (0.001, 86_400),
        "max_wall_seconds": (0.001, 86_400),
    }
)
"""By name of the setting, both ends included; but `top_p` is above 0."""


def check_range(name: str, value: float, *, field: str) -> None:
    """Refuse a setting that no search may have.

    Raises:
        InvalidInput: naming `field`.
    """
    low, high = RANGES[name]
    if not low <= value <= high:
        raise InvalidInput(f"must be in [{low:g}, {high:g}], not {value:g}", field=field)
    if name == "top_p" and not value:
        raise InvalidInput("must be in (0, 1]", field=field)


def check_extra_rollouts(values: Sequence[int], *, field: str) -> None:
    """Refuse further rollouts that no search may have.

    Raises:
        InvalidInput: naming `field`.
    """
    if len(values) > MAX_EXTRA_ROLLOUTS:
        raise InvalidInput(f"at most {MAX_EXTRA_ROLLOUTS} entries", field=field)
    for value in values:
        check_range("rollouts", value, field=field)

"""One thing that was looked at: fine, or a fault with its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

CHECKS = ("versions", "ports", "permissions", "clock", "disk", "gvisor", "engine")
"""What a finding can be about, in the order of the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one look gave."""

    check: str
    fault: bool
    message: str
    remedy: str = ""
    """What to do; empty where nothing is wrong."""

    def to_json(self) -> dict[str, object]:
        """For scripts."""
        return asdict(self)


def fine(check: str, message: str) -> Finding:
    """Nothing is wrong."""
    return Finding(check=check, fault=False, message=message)


def fault(check: str, message: str, remedy: str) -> Finding:
    """Something is, and this helps."""
    return Finding(check=check, fault=True, message=message, remedy=remedy)


def faults_or(found: Sequence[Finding], check: str, message: str) -> list[Finding]:
    """The faults that were found, or that there are none."""
    return list(found) or [fine(check, message)]


def existing(path: Path) -> Path:
    """`path`, or its nearest parent that exists."""
    while not path.exists():
        path = path.parent
    return path

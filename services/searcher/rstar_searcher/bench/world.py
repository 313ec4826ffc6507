"""A world made of hashes: what is asked decides every answer, when it is asked nothing.

`U(kind, pid, path)` is `(first 8 bytes of sha256("1|kind|pid|path") + 0.5) / 2^64`; the root's
path is `r`, its j-th child's `r.j`. Two implementations of the same search therefore see
the same tree, however they schedule it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

ROOT_PATH = "r"
FIRST_REFERENCE = 100
LEAST_FINAL_DEPTH = 4
GREATEST_FINAL_DEPTH = 8

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The rules; a `length_sigma` of 0.6 and an `execution_sigma` of 1 are the base set's."""

    length_sigma: float = 0.6
    median_tokens: float = 60.0
    execution_sigma: float = 1.0
    median_execution_seconds: float = 0.03
    final_depth: int = 0
    """Every line of thought ends at this depth; 0: between 4 and 8, by chance."""

    def tokens(self, pid: int, path: str) -> int:
        """Length of a candidate."""
        z = _NORMAL.inv_cdf(unit("len", pid, path))
        return min(2048, max(1, round(self.median_tokens * math.exp(self.length_sigma * z))))

    def is_final(self, pid: int, path: str) -> bool:
        """Whether a step is the last code step: all its children are answers."""
        depth = path.count(".")
        if self.final_depth:
            return depth == self.final_depth
        if not LEAST_FINAL_DEPTH <= depth <= GREATEST_FINAL_DEPTH:
            return False
        return unit("end", pid, path) < 1 / (GREATEST_FINAL_DEPTH + 1 - depth)

    def answer(self, pid: int, path: str) -> int:
        """What an answer states."""
        if unit("ans", pid, path) < unit("diff", pid, ""):
            return reference(pid)
        return reference(pid) + 1 + int(9 * unit("wrong", pid, path))

    def execution_seconds(self, pid: int, path: str) -> float:
        """How long a candidate's own code runs."""
        z = _NORMAL.inv_cdf(unit("exec", pid, path))
        return min(5.0, self.median_execution_seconds * math.exp(self.execution_sigma * z))

    def ppm_value(self, pid: int, path: str) -> float:
        """What the PPM says, in [-1, 1]."""
        return 2 * unit("ppm", pid, path) - 1


def unit(kind: str, pid: int, path: str) -> float:
    """A number in (0, 1) that depends on its arguments alone."""
    digest = hashlib.sha256(f"1|{kind}|{pid}|{path}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") + 0.5) / 2**64


def reference(pid: int) -> int:
    """The right answer."""
    return FIRST_REFERENCE + pid


def work_digest(expanded: Iterable[tuple[int, str]]) -> str:
    """Names a set of expanded nodes, so that two schedules can prove the same work."""
    lines = sorted(f"{pid}|{path}" for pid, path in expanded)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

"""The judge's algebra without a sandbox around it: for text that the tests themselves wrote."""

from __future__ import annotations

from typing import Any

from rstar_sandbox.guest import latex
from rstar_sandbox.guest.outcome import Status


class DirectAlgebra:
    """Answers as the guest would, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def judge(
        self,
        answer: str,
        reference: str,
        limits: dict[str, float | int],
        *,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        self.asked += 1
        verdict, reason = latex.judge(answer, reference)
        return {"limit": "", "verdict": [Status.OK, verdict, reason]}

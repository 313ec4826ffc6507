"""When a call is made again, and after how long. Pure: no clock, no waiting.

Only what can pass is tried again: a full service after the time it names, one that does
not answer after a growing, jittered pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from rstar_client.errors import Overloaded, RstarError, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient a client is."""

    attempts: int = 6
    """Failures in a row before the last one is raised; 1 never tries again."""

    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 10.0

    def pause(self, error: RstarError, failures: int, rng: Random) -> float | None:
        """Seconds to wait after the `failures`-th failure in a row; None to give up."""
        if failures >= self.attempts:
            return None
        if isinstance(error, Overloaded):
            # Spread over half as long again: those who were refused together must not return so.
            return error.retry_after_seconds * (1 + rng.random() / 2)
        if isinstance(error, Unavailable):
            longest = self.first_pause_seconds * float(2 ** (failures - 1))
            return min(longest, self.longest_pause_seconds) * (0.5 + rng.random() / 2)
        return None

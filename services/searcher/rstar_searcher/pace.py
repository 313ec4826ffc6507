"""How far a window may grow before more calls in flight get no more done, told from latencies.

By Little's law a service that answers in `seconds` with `calls` in flight does calls / seconds
a second. The rate of a first round of answers is remembered. When the window has grown by a
quarter since and the rate by less than a quarter of that, the service has enough to do: the
window goes back and stays, until the service is seen to be faster or some time has passed.
"""

from __future__ import annotations

STEP = 1.25
"""Growth of the window before its rate is compared: smaller steps drown in noise."""

LEAST_GAIN = 1 + (STEP - 1) / 4

PATIENCE_ROUNDS = 32
"""Rounds without growth before it is tried again: what is remembered may have been easy work."""


class Pace:
    """What a service did between two refusals."""

    def __init__(self) -> None:
        self._calls = 0.0
        self._rate = 0.0
        """Of the round that is compared with; 0 until there was one."""

        self._answers = 0
        self._seconds = 0.0
        self._held_rounds = 0

    def window_after(self, window: float, seconds: float) -> float:
        """The window after an answer that took `seconds`: a call a round larger, or held."""
        self._answers += 1
        self._seconds += seconds
        if self._answers >= window:
            self._end_round(window, window * self._answers / max(self._seconds, 1e-9))
            self._answers, self._seconds = 0, 0.0
        return min(window, self._calls) if self._held_rounds else window + 1 / window

    def _end_round(self, calls: float, rate: float) -> None:
        gained = rate >= LEAST_GAIN * self._rate
        if self._held_rounds:
            self._held_rounds = 0 if gained else self._held_rounds - 1
            if not self._held_rounds:
                self._calls, self._rate = calls, rate
        elif not self._rate:
            self._calls, self._rate = calls, rate
        elif calls >= STEP * self._calls:
            if gained:
                self._calls, self._rate = calls, rate
            else:
                self._held_rounds = PATIENCE_ROUNDS

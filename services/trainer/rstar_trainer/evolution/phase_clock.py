"""How long a phase was carried out, whatever came between: kills, stops, a machine that slept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine

BEAT_SECONDS = 30.0
"""So often a phase's time is written down: a trainer that is killed loses no more of it."""

LONGEST_PAUSE = 2 * BEAT_SECONDS
"""When more has passed since the last beat, the machine stood still, and this much is counted."""


class PhaseClock:
    """Seconds of the phase under way."""

    def __init__(self, seconds: float) -> None:
        """Go on from `seconds`, which were written before."""
        self._seconds = seconds
        self._last = time.time()

    def beat(self) -> float:
        """Count the time since the last beat; return the phase's seconds."""
        now = time.time()  # on some machines the monotonic clock stops while they sleep
        self._seconds += min(max(0.0, now - self._last), LONGEST_PAUSE)
        self._last = now
        return self._seconds

    def end_phase(self) -> float:
        """Begin the next phase; return the seconds of the one that ends."""
        seconds = self.beat()
        self._seconds = 0.0
        return seconds

    async def watch(
        self,
        phase: Coroutine[None, None, None],
        *,
        write: Callable[[float], Awaitable[None]],
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        """Carry out a phase and `write` its seconds every `beat_seconds`; raise what it raises."""
        # No TaskGroup: of a cancellation and a failure in one tick it would tell the failure alone,
        # and who stops a run would be taken for a service that is away.
        work = asyncio.create_task(phase)
        try:
            while not (await asyncio.wait([work], timeout=beat_seconds))[0]:
                await write(self.beat())
            work.result()
        finally:
            work.cancel()
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # told, or outweighed

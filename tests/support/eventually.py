"""Wait for a condition that has no event to wait on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 45.0
"""Costs nothing where all is well, and a busy machine may take its time."""


async def eventually(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Return once `condition()` holds; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- the very purpose
            await asyncio.sleep(POLL_SECONDS)

"""Wait for the first of several things."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(**waits: Coroutine[Any, Any, object]) -> str:
    """Run the coroutines until one ends, cancel the others, and return its name.

    Whatever the first one raised is raised here, and none outlives this call.
    """
    tasks = {asyncio.ensure_future(wait): name for name, wait in waits.items()}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
    return next(name for task, name in tasks.items() if task in done)

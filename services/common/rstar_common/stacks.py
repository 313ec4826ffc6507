"""What a process is doing now: SIGQUIT writes it to the log, as with Go and Java, and ends nothing.

Threads first, by `faulthandler`, which needs no event loop: it tells even of one that is stuck.
Then every task of the loop, a line of the log each, from where it began to what it waits for.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import inspect
import logging
import signal
from collections.abc import Iterator
from contextlib import suppress
from io import UnsupportedOperation
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)


def tell_stacks_when_asked() -> None:
    """From now on SIGQUIT tells where every thread and every task of the running loop is."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, _log_tasks)
    with suppress(UnsupportedOperation):  # stderr is no file, as under a test runner
        # After the loop's own handler: faulthandler calls on the one it finds.
        faulthandler.register(signal.SIGQUIT, all_threads=True, chain=True)


def _log_tasks() -> None:
    for task in asyncio.all_tasks():
        logger.warning("task %s: %s", task.get_name(), " > ".join(task_stack(task)))


def task_stack(task: asyncio.Task[Any]) -> list[str]:
    """Where a task is, outermost first; `Task.get_stack` knows only where it began."""
    return [f"{f.f_code.co_filename}:{f.f_lineno} {f.f_code.co_qualname}" for f in _frames(task)]


def _frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    waits: object = task.get_coro()
    while waits is not None:
        for kind in ("cr", "ag", "gi"):
            if frame := getattr(waits, f"{kind}_frame", None):
                yield frame
                break
        else:
            # The next item of an asynchronous generator has no name for whose it is.
            waits = next(filter(inspect.isasyncgen, gc.get_referents(waits)), None)
            continue
        waits = getattr(waits, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)

"""Run a service: start its components, drain on SIGTERM, crash on failure.

A component is `async def run(stop)`. It works until `stop` is set, finishes
what it holds, and returns. Components share one TaskGroup, so the first one to
raise takes the process down and the platform restarts it: a service is either
whole or gone. Returning early counts as raising.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import uvloop

from rstar_common.errors import RstarError
from rstar_common.stacks import tell_stacks_when_asked
from rstar_common.trace_export import stop_tracing

logger = logging.getLogger(__name__)

Component = Callable[[asyncio.Event], Awaitable[None]]


class ComponentExited(RuntimeError):
    """A component returned although nobody asked it to stop."""


def run_main(main: Coroutine[Any, Any, None]) -> None:
    """Run a service's coroutine on uvloop; end with one clear line on a deliberate error.

    Raises:
        SystemExit: 1, after a deliberate error. Bugs keep their traceback.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_tellable(main))
    except* RstarError as group:
        for error in _leaves(group):
            logger.error("%s", error)
        sys.exit(1)
    finally:
        stop_tracing()


async def _tellable(main: Coroutine[Any, Any, None]) -> None:
    tell_stacks_when_asked()  # from the first moment: a service that does not start may be asked
    await main


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def run_service(components: Mapping[str, Component], *, drain_seconds: float) -> None:
    """Run `components` until a signal arrives, then drain them."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_supervise(name, component, stop), name=name)
                for name, component in components.items()
            ]
            await stop.wait()
            logger.info("draining", extra={"drain_seconds": drain_seconds})
            _, late = await asyncio.wait(tasks, timeout=drain_seconds)
            for task in late:
                logger.warning("cancelling a component that did not drain: %s", task.get_name())
                task.cancel()
    finally:
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(signum)


async def _supervise(name: str, component: Component, stop: asyncio.Event) -> None:
    await component(stop)
    if not stop.is_set():
        raise ComponentExited(name)

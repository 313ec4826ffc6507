"""A warm sandbox, written down before any untrusted code ran, that others go on from.

Best effort: without it a sandbox starts from nothing, which takes some times longer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from rstar_common.errors import Unavailable
from rstar_sandbox.container import Container, SandboxDied
from rstar_sandbox.runsc import Runsc

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 20.0
"""For the first interpreters to be forked ahead."""


class Opening(Protocol):
    """Starts a sandbox, from an image or from nothing."""

    def __call__(self, image: Path | None) -> AbstractAsyncContextManager[Container]: ...


class Checkpoint:
    """Taken of the first sandbox that starts; the ones after it are restored."""

    def __init__(self, runsc: Runsc, directory: Path) -> None:
        self._runsc = runsc
        self._directory = directory
        self._turn = asyncio.Lock()
        self._tried = False
        self.image: Path | None = None
        """Where it is; None until there is one, and where there is none to be had."""

    @asynccontextmanager
    async def sandbox(self, opening: Opening) -> AsyncGenerator[Container]:
        """A sandbox that nobody has used yet, restored if possible.

        Raises:
            Unavailable: it does not start either way.
        """
        async with AsyncExitStack() as stack:
            box = None
            if self.image:
                try:
                    box = await stack.enter_async_context(opening(self.image))
                except Unavailable as error:
                    logger.warning("starting from nothing: %s", error)
                    self.image = None
            if box is None:
                box = await stack.enter_async_context(opening(None))
                await self._take(box)
            yield box

    async def _take(self, box: Container) -> None:
        async with self._turn:
            if self._tried:
                return
            self._tried = True
            try:
                await box.ask({"op": "settle"}, timeout_seconds=SETTLE_SECONDS)
            except (SandboxDied, TimeoutError) as error:
                logger.warning("no checkpoint: %r", error)
                return
            if await self._runsc.checkpoint(box.id, self._directory):
                self.image = self._directory
            else:
                logger.warning("no checkpoint: runsc cannot take one here")

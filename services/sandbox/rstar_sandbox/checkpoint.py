"""A warm sandbox, written down before anything was asked of it, that all others go on from.

The sandbox it is taken of ends with that, so all that are used have the same past. Interpreters are
forked only once it is to be used, for each would add 37 MB to the 54 MB of the image, all of which
is read before the first answer.

Best effort: where no checkpoint can be taken, sandboxes start from nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from rstar_common.errors import Unavailable
from rstar_sandbox.container import Container
from rstar_sandbox.runsc import Runsc

logger = logging.getLogger(__name__)


class Opening(Protocol):
    """Starts a sandbox, from an image or from nothing."""

    def __call__(self, image: Path | None) -> AbstractAsyncContextManager[Container]: ...


class Checkpoint:
    """Taken of the first sandbox that starts; those that are used are restored."""

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
        async with self._turn:
            if not self._tried:
                self.image = await self._take(opening)
                self._tried = True
        async with AsyncExitStack() as stack:
            box: Container | None = None
            if self.image:
                try:
                    box = await stack.enter_async_context(opening(self.image))
                except Unavailable as error:
                    logger.warning("starting from nothing: %s", error)
                    self.image = None
            if box is None:
                box = await stack.enter_async_context(opening(None))
            yield box

    async def _take(self, opening: Opening) -> Path | None:
        async with opening(None) as box:
            if await self._runsc.checkpoint(box.id, self._directory):
                return self._directory
        logger.warning("no checkpoint: runsc cannot take one here")
        return None

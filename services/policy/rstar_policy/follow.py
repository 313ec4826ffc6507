"""Follow the promoted pointer: fetch each checkpoint it names and hand it to the engine.

Of several promotions that arrive while one is fetched, only the last is taken. A checkpoint
that cannot be used is reported and skipped: what is being served goes on being served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from rstar_common.artifacts import ObjectStore
from rstar_common.checkpoints import BOOTSTRAP, Pointers, fetch, read_manifest
from rstar_common.errors import InvalidInput, NotFound, Unavailable
from rstar_policy.loaded import Checkpoint, open_checkpoint
from rstar_policy.waiting import first_of

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""Between attempts to fetch while the store does not answer."""


class PointerFollower:
    """Feeds `want` with every promoted policy checkpoint."""

    def __init__(
        self,
        pointers: Pointers,
        store: ObjectStore,
        *,
        cache: Path,
        prompt_format: str,
        want: Callable[[Checkpoint], None],
        propose: Callable[[], None],
    ) -> None:
        """`prompt_format` overrides the manifests' own; empty does not.

        `propose` is called when the pointer names the bootstrap proposer.
        """
        self._pointers = pointers
        self._store = store
        self._cache = cache
        self._prompt_format = prompt_format
        self._want = want
        self._propose = propose
        self._promoted = ""
        self._wanted: tuple[str, ...] = ()
        """The last two that the engine was given: it starts again from these files."""

        self._changed = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`."""
        await first_of(stop=stop.wait(), watch=self._watch(), fetch=self._fetch())

    async def _watch(self) -> None:
        logger.info("waiting for a promoted policy checkpoint")
        async for promoted in self._pointers.watch("policy"):
            self._promoted = promoted.version
            self._changed.set()

    async def _fetch(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            version = self._promoted
            try:
                manifest = await read_manifest(self._store, "policy", version)
                if manifest.prompt_format == BOOTSTRAP:
                    logger.info("the bootstrap proposer serves")
                    self._propose()
                    continue
                directory = await fetch(self._store, manifest, self._cache, used=self._wanted)
                checkpoint = await asyncio.to_thread(
                    open_checkpoint,
                    directory.resolve(),
                    prompt_format=self._prompt_format,
                    version=version,
                )
            except Unavailable as error:
                logger.warning("checkpoint %s: %s; trying again", version, error)
                await first_of(pause=asyncio.sleep(RETRY_SECONDS), promoted=self._changed.wait())
                self._changed.set()
            except (NotFound, InvalidInput) as error:
                logger.error("checkpoint %s cannot be served: %s", version, error)
            else:
                logger.info("checkpoint fetched", extra={"policy_version": version})
                self._wanted = (*self._wanted[-1:], version)
                self._want(checkpoint)

"""Which versions of the PPM are served: the promoted one, and older ones for a while.

Follows the `ppm` pointer: a promotion is loaded beside what is served and takes over when
it is ready, so no call fails or waits. The version it replaces answers callers that name
it until the grace has passed: a search keeps to the values it began with. A checkpoint
that cannot be loaded changes nothing. Loading has a thread of its own; scoring goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prometheus_client import Counter, Gauge

from rstar.v1 import events_pb2
from rstar_common import checkpoints
from rstar_common.artifacts import ObjectStore
from rstar_common.checkpoints import MANIFEST, Manifest, Pointers
from rstar_common.errors import InvalidInput, NotFound, RstarError, Unavailable
from rstar_common.formats import Encoder
from rstar_ppm.batching import Scorer

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
"""How often the pointer is read besides being watched: a watch may die with a NATS server."""

RETRY_SECONDS = 2.0
"""Pause after a checkpoint could not be fetched."""

SERVED = Gauge("rstar_ppm_served_versions", "Versions in memory.")
SWAPS = Counter("rstar_ppm_swaps_total", "Promotions followed.", ["outcome"])


class LoadedModel(Scorer, Protocol):
    """What a version needs of its model."""

    @property
    def max_length(self) -> int: ...
    @property
    def vocabulary_size(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVersion:
    """A version in memory."""

    version: str
    encoder: Encoder
    model: LoadedModel


Loader = Callable[[Path, Manifest], ServedVersion]


class Versions:
    """The versions a caller may name; changed by the follower alone."""

    def __init__(self, *, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._served: dict[str, ServedVersion] = {}
        self._retiring: dict[str, asyncio.TimerHandle] = {}
        self._current = ""

    @property
    def current(self) -> ServedVersion | None:
        """The promoted version, if any."""
        return self._served.get(self._current)

    @property
    def names(self) -> list[str]:
        """Every version that may be named, the promoted one first."""
        return sorted(self._served, key=lambda name: (name != self._current, name))

    def find(self, version: str) -> ServedVersion:
        """The version a caller asks for; empty means the promoted one.

        Raises:
            Unavailable: none is promoted yet.
            NotFound: the named one is not served, or no longer.
        """
        if not self._current:
            raise Unavailable("no ppm checkpoint is promoted yet")
        name = version or self._current
        if name not in self._served:
            raise NotFound(f"ppm version {name} is not served")
        return self._served[name]

    def promote(self, served: ServedVersion) -> None:
        """Make `served` the promoted version and let the one before it retire."""
        before = self._current
        self._served[served.version] = served
        self._current = served.version
        if timer := self._retiring.pop(served.version, None):
            timer.cancel()
        if before and before != served.version:
            loop = asyncio.get_running_loop()
            self._retiring[before] = loop.call_later(self._grace_seconds, self._retire, before)
        SERVED.set(len(self._served))

    def get(self, version: str) -> ServedVersion | None:
        """A version in memory, promoted or not."""
        return self._served.get(version)

    def close(self) -> None:
        """Drop all timers."""
        for timer in self._retiring.values():
            timer.cancel()

    def _retire(self, version: str) -> None:
        logger.info("retired", extra={"version": version})
        self._retiring.pop(version, None)
        self._served.pop(version, None)
        SERVED.set(len(self._served))


def read_pinned(directory: Path) -> Manifest:
    """The manifest of a checkpoint directory named in the settings.

    Raises:
        InvalidInput: there is none.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise InvalidInput(f"{directory} has no {MANIFEST}", field="model")
    return Manifest.from_json(path.read_bytes())


class PointerFollower:
    """The component that keeps `Versions` at what the pointer names."""

    def __init__(
        self,
        versions: Versions,
        pointers: Pointers,
        store: ObjectStore,
        load: Loader,
        *,
        cache: Path,
    ) -> None:
        self._versions = versions
        self._pointers = pointers
        self._store = store
        self._load = load
        self._cache = cache
        self._wanted = ""
        self._changed = asyncio.Event()
        for outcome in ("done", "refused", "unavailable"):
            SWAPS.labels(outcome)  # the first refusal must be an increase

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(follow()) for follow in (self._watch, self._poll, self._switch)
            ]
            await stop.wait()
            for task in tasks:
                task.cancel()
        self._versions.close()

    async def _watch(self) -> None:
        async for promoted in self._pointers.watch("ppm"):
            self._want(promoted)

    async def _poll(self) -> None:
        while True:
            try:
                self._want(await self._pointers.current("ppm"))
            except NotFound:
                pass
            except RstarError as error:
                logger.warning("cannot read the ppm pointer: %s", error)
            await asyncio.sleep(POLL_SECONDS)

    def _want(self, promoted: events_pb2.CheckpointPromoted) -> None:
        if promoted.version != self._wanted:
            self._wanted = promoted.version
            self._changed.set()

    async def _switch(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            version = self._wanted
            try:
                served = self._versions.get(version) or await self._fetch(version)
            except Unavailable as error:
                SWAPS.labels("unavailable").inc()
                logger.warning("cannot fetch ppm %s yet: %s", version, error)
                # A store that is down has no event to wait on.
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()
            except RstarError as error:
                SWAPS.labels("refused").inc()
                logger.error("ppm %s cannot be served: %s", version, error)
            else:
                self._versions.promote(served)
                SWAPS.labels("done").inc()
                logger.info("serving", extra={"version": version})

    async def _fetch(self, version: str) -> ServedVersion:
        manifest = await checkpoints.read_manifest(self._store, "ppm", version)
        directory = await checkpoints.fetch(
            self._store, manifest, self._cache, used=self._versions.names
        )
        return await asyncio.to_thread(self._load, directory, manifest)

"""Checkpoints in the object store, and the pointer that names the promoted one.

A checkpoint is immutable: safetensors, tokenizer, config, and its manifest, which is written
last, so a checkpoint without one does not exist. A pointer is a key of a JetStream bucket:
reading it and being told of its changes are one subscription.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from pathlib import Path

import nats.errors
from google.protobuf.message import DecodeError
from nats.js.errors import APIError, KeyNotFoundError
from nats.js.kv import KeyValue

from rstar.v1 import events_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.errors import Conflict, InvalidInput, NotFound, Unavailable
from rstar_common.manifest import BOOTSTRAP, MANIFEST, PREFIX, Manifest, Model, describe

__all__ = [
    "BOOTSTRAP",
    "KEPT",
    "MANIFEST",
    "PREFIX",
    "Manifest",
    "Model",
    "Pointers",
    "describe",
    "fetch",
    "publish",
    "read_manifest",
]

logger = logging.getLogger(__name__)

FETCHING = ".fetching-"
ABANDONED_SECONDS = 6 * 3600.0
"""Nobody fetches a checkpoint for so long: others may share the cache."""

KEPT = 4
"""Checkpoints that a cache holds: those used last. A rollback finds its model there."""


async def publish(store: ObjectStore, directory: Path, manifest: Manifest) -> None:
    """Upload a checkpoint; doing it again changes nothing."""
    for name in manifest.files:
        await store.put_file(manifest.prefix + name, directory / name)
    try:
        await store.create(manifest.prefix + MANIFEST, manifest.to_json())
    except Conflict:
        return


async def read_manifest(store: ObjectStore, model: Model, version: str) -> Manifest:
    """The manifest of a checkpoint.

    Raises:
        NotFound: there is no such checkpoint.
    """
    if not version or "/" in version:
        raise InvalidInput(f"not a version: {version!r}", field="version")
    return Manifest.from_json(await store.get(f"{PREFIX}{model}/{version}/{MANIFEST}"))


async def fetch(
    store: ObjectStore, manifest: Manifest, cache: Path, *, used: Collection[str] = ()
) -> Path:
    """Download a checkpoint into `cache` unless it is there; returns its directory.

    Of those that lie there the `KEPT` used last stay, and the versions in `used`.

    Raises:
        Unavailable: a file does not have the hash or a name that the manifest may give, or the
            cache cannot be written.
    """
    try:
        return await _fetched(store, manifest, cache, used)
    except OSError as error:
        if error.errno == errno.ENOSPC:  # the next attempt finds what room there is
            await asyncio.to_thread(_remove, cache, used, keep=0)
        raise Unavailable(f"checkpoint {manifest.version}: {cache}: {error}") from error


async def _fetched(
    store: ObjectStore, manifest: Manifest, cache: Path, used: Collection[str]
) -> Path:
    target = cache / manifest.version
    if await asyncio.to_thread((target / MANIFEST).exists):
        with suppress(OSError):  # somebody else's cache, read by us
            await asyncio.to_thread(os.utime, target)
        return target
    await asyncio.to_thread(_prepare, cache, used)
    # A disk that is full is found so before every attempt, not after most of a download.
    needed = sum([await store.size(manifest.prefix + name) for name in manifest.files])
    if needed > (free := (await asyncio.to_thread(shutil.disk_usage, cache)).free):
        raise OSError(errno.ENOSPC, f"{needed} bytes are needed, {free} free")
    with tempfile.TemporaryDirectory(dir=cache, prefix=FETCHING) as scratch:
        staging = Path(scratch) / "files"
        staging.mkdir()
        for name, digest in manifest.files.items():
            if Path(name).name != name:
                raise Unavailable(f"checkpoint {manifest.version}: {name} is no name of a file")
            if await store.get_file(manifest.prefix + name, staging / name) != digest:
                raise Unavailable(f"checkpoint {manifest.version}: {name} is damaged")
        (staging / MANIFEST).write_bytes(manifest.to_json())
        _place(staging, target)
    return target


def _prepare(cache: Path, used: Collection[str]) -> None:
    """Make room for one more; remove what a process that was killed while it fetched has left."""
    cache.mkdir(parents=True, exist_ok=True)
    for left in cache.glob(f"{FETCHING}*"):
        if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    _remove(cache, used, keep=KEPT - 1)


def _remove(cache: Path, used: Collection[str], *, keep: int) -> None:
    """Remove all checkpoints but those in use and the `keep` used last."""
    here = [path.parent for path in cache.glob(f"*/{MANIFEST}") if path.parent.name not in used]
    here.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in here[keep:]:
        # By another name first: half a checkpoint must not look like one.
        gone = cache / f"{FETCHING}{old.name}-{uuid.uuid4().hex}"
        with suppress(OSError):
            old.rename(gone)
            shutil.rmtree(gone)


def _place(staging: Path, target: Path) -> None:
    """Make `target` appear with all its files at once, or find that it has."""
    try:
        staging.rename(target)
    except OSError:
        if not (target / MANIFEST).exists():  # nobody else placed it either
            raise


class Pointers:
    """Which version of each model is promoted.

    A channel has pointers of its own: a tier that follows it serves candidates, and nobody else
    sees them.
    """

    def __init__(self, bucket: KeyValue, *, channel: str = "") -> None:
        self._bucket = bucket
        self._suffix = f".{channel}" if channel else ""

    async def current(self, model: Model) -> events_pb2.CheckpointPromoted:
        """The promoted checkpoint.

        Raises:
            NotFound: none was promoted yet, or what was cannot be read.
        """
        try:
            entry = await self._bucket.get(model + self._suffix)
            return events_pb2.CheckpointPromoted.FromString(entry.value or b"")
        except KeyNotFoundError as error:
            raise NotFound(f"no {model} checkpoint is promoted") from error
        except DecodeError as error:
            raise NotFound(f"the pointer to the {model} checkpoint cannot be read") from error
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"pointers: {error}") from error

    async def promote(self, manifest: Manifest) -> events_pb2.CheckpointPromoted:
        """Make a checkpoint the current one; promoting it again changes nothing."""
        try:
            previous = await self.current(manifest.model)
        except NotFound:
            previous = events_pb2.CheckpointPromoted()
        if previous.version == manifest.version:
            return previous
        promoted = events_pb2.CheckpointPromoted(
            model=manifest.model,
            version=manifest.version,
            prefix=manifest.prefix,
            previous=previous.version,
        )
        promoted.at.GetCurrentTime()
        try:
            await self._bucket.put(manifest.model + self._suffix, promoted.SerializeToString())
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"pointers: {error}") from error
        return promoted

    async def watch(self, model: Model) -> AsyncIterator[events_pb2.CheckpointPromoted]:
        """The current pointer, if any, and then every change of it, for ever.

        One that cannot be read is passed over: what is loaded goes on being served.
        """
        watcher = await self._bucket.watch(model + self._suffix)
        try:
            while True:
                try:
                    entry = await watcher.updates(timeout=3600.0)  # type: ignore[no-untyped-call] # nats-py
                except (TimeoutError, nats.errors.TimeoutError):
                    continue
                if entry is None or not entry.value:
                    continue
                try:
                    promoted = events_pb2.CheckpointPromoted.FromString(entry.value)
                except DecodeError:
                    logger.warning("the pointer to the %s checkpoint cannot be read", model)
                    continue
                yield promoted
        finally:
            await watcher.stop()  # type: ignore[no-untyped-call] # nats-py

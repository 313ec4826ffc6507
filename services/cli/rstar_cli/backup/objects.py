"""Objects of the store to files and back, in pieces: a checkpoint may be larger than memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from rstar_cli.backup.manifest import ObjectEntry, object_path
from rstar_common.errors import NotFound, Unavailable


async def listed(store: S3Store) -> AsyncIterator[tuple[str, int, str]]:
    """Key, size and mark of every object. Raises `Unavailable`."""
    try:
        async for page in obstore.list(store):
            for item in page:
                yield str(item["path"]), int(item["size"]), str(item["e_tag"] or "")
    except BaseError as error:
        raise Unavailable(f"object store: list: {error}") from error


async def save(store: S3Store, key: str, tag: str, directory: Path) -> ObjectEntry:
    """Copy an object to where its hash says.

    Raises:
        NotFound: it is gone.
        Unavailable: the store stopped half-way.
    """
    scratch = directory / "objects" / f".part.{os.getpid()}"
    digest, size = hashlib.sha256(), 0
    try:
        response = await obstore.get_async(store, key)
        with scratch.open("wb") as file:
            async for block in response.stream():
                file.write(block)
                digest.update(block)
                size += len(block)
    except FileNotFoundError as error:
        raise NotFound(f"object store: no {key}") from error
    except BaseError as error:
        raise Unavailable(f"object store: get {key}: {error}") from error
    path = object_path(directory, digest.hexdigest())
    path.parent.mkdir(exist_ok=True)
    scratch.replace(path)
    return ObjectEntry(key=key, sha256=digest.hexdigest(), bytes=size, tag=tag)


async def restore(store: S3Store, entry: ObjectEntry, directory: Path) -> None:
    """Put an object back.

    Raises:
        Unavailable: the store did not take all of it.
    """
    try:
        await obstore.put_async(store, entry.key, object_path(directory, entry.sha256))
        size = int((await obstore.head_async(store, entry.key))["size"])
    except (BaseError, OSError) as error:
        raise Unavailable(f"object store: put {entry.key}: {error}") from error
    if size != entry.bytes:
        raise Unavailable(f"object store: {entry.key} has {size} bytes of {entry.bytes}")

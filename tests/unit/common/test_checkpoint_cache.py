"""A cache of checkpoints: the last ones used stay, and a disk without room is waited for."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any, cast

import pytest

from rstar_common.artifacts import ObjectStore
from rstar_common.checkpoints import KEPT, MANIFEST, Manifest, fetch
from rstar_common.errors import Unavailable


class Files:
    """In place of the store: every file is its own hash."""

    async def size(self, key: str) -> int:
        return len(key)

    async def get_file(self, key: str, target: Path) -> str:
        await asyncio.to_thread(target.write_text, key)
        return "hash"


STORE = cast("ObjectStore", cast("Any", Files()))


def manifest(version: str) -> Manifest:
    return Manifest(model="ppm", version=version, prompt_format="mini", files={"a": "hash"})


async def test_those_used_last_stay_and_those_in_use(tmp_path: Path):
    names = [f"v{number}" for number in range(KEPT + 2)]
    for age, name in enumerate(names):
        directory = await fetch(STORE, manifest(name), tmp_path, used=["v1"])
        os.utime(directory, (age, age))
        if age == KEPT - 1:
            await fetch(STORE, manifest("v0"), tmp_path)  # used again: the oldest no more
    assert names_in(tmp_path) == {"v0", "v1", *names[-KEPT + 1 :]}


async def test_where_there_is_no_room_what_nobody_uses_goes(tmp_path: Path):
    for name in ("v0", "v1"):
        await fetch(STORE, manifest(name), tmp_path)
    full = cast("ObjectStore", cast("Any", Full()))
    with pytest.raises(Unavailable, match="No space left"):
        await fetch(full, manifest("v2"), tmp_path, used=["v1"])
    assert names_in(tmp_path) == {"v1"}
    await fetch(STORE, manifest("v2"), tmp_path, used=["v1"])
    assert names_in(tmp_path) == {"v1", "v2"}


async def test_what_does_not_fit_is_not_begun(tmp_path: Path):
    await fetch(STORE, manifest("v0"), tmp_path)
    huge = cast("ObjectStore", cast("Any", Huge()))
    with pytest.raises(Unavailable, match=f"{10**18} bytes are needed, [0-9]+ free"):
        await fetch(huge, manifest("v1"), tmp_path)
    assert not names_in(tmp_path)


class Full(Files):
    """In place of the store: the disk fills up."""

    async def get_file(self, _key: str, _target: Path) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Huge(Files):
    """In place of the store: a checkpoint larger than any disk."""

    async def size(self, key: str) -> int:
        return 10**18

    async def get_file(self, key: str, target: Path) -> str:
        raise AssertionError("fetched what has no room")


def names_in(cache: Path) -> set[str]:
    return {path.parent.name for path in cache.glob(f"*/{MANIFEST}")}


async def test_a_cache_that_cannot_be_written_is_unavailable(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="checkpoint v0"):
        await fetch(STORE, manifest("v0"), tmp_path / "file" / "cache")

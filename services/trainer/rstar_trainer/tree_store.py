"""Trees and data sets in the object store: into a job's directory, or read one by one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from rstar_common.artifacts import ObjectStore, given_key, trees_prefix
from rstar_common.errors import InvalidInput, NotFound, RstarError, first_leaf
from rstar_trainer.evolution.problems import read_set

T = TypeVar("T")

CONCURRENCY = 32
"""Objects fetched at once."""


async def fetch_trees(store: ObjectStore, batch_ids: Sequence[str], directory: Path) -> int:
    """Fetch every tree of `batch_ids` that is not there yet; returns how many there are.

    Raises:
        InvalidInput: a batch has no tree.
        NotFound: a tree was removed meanwhile.
        Unavailable: the store did not answer.
    """
    slots = asyncio.Semaphore(CONCURRENCY)
    total = 0

    async def fetch(key: str, target: Path) -> None:
        async with slots:
            data = await store.get(key)
            staging = target.with_suffix(".part")
            await asyncio.to_thread(staging.write_bytes, data)
            os.replace(staging, target)  # noqa: PTH105 -- atomic; Path.replace is the same call

    for index, batch_id in enumerate(batch_ids):
        prefix = trees_prefix(batch_id)
        keys = [key async for key in store.keys(prefix) if key.endswith(".pb")]
        if not keys:
            raise InvalidInput(f"batch {batch_id} has no trees", field=f"batch_ids[{index}]")
        total += len(keys)
        try:
            async with asyncio.TaskGroup() as group:
                for key in keys:
                    batch, name = key.split("/")[-2:]
                    target = directory / f"{batch}-{name}"
                    if not target.exists():
                        group.create_task(fetch(key, target))
        except* RstarError as failures:
            # One cause is enough; callers branch on the class.
            raise first_leaf(failures) from failures
    return total


async def fetch_given(store: ObjectStore, digests: Sequence[str], directory: Path) -> None:
    """Fetch the files of `digests` that are not there yet, as `0000.json`, `0001.json` ….

    Raises:
        InvalidInput: there is none of that digest, or it holds something else.
        Unavailable: the store did not answer.
    """
    for index, digest in enumerate(digests):
        target = directory / f"{index:04}.json"
        if target.exists():
            continue
        staging = target.with_suffix(".part")
        staging.unlink(missing_ok=True)
        try:
            found = await store.get_file(given_key(digest), staging)
        except NotFound as error:
            raise InvalidInput(f"no file {digest}", field=f"data_digests[{index}]") from error
        if found != digest:
            raise InvalidInput(f"holds {found}", field=f"data_digests[{index}]")
        os.replace(staging, target)  # noqa: PTH105 -- as above


async def read_questions(store: ObjectStore, keys: Sequence[str]) -> tuple[str, ...]:
    """The questions of problem sets.

    Raises:
        InvalidInput: there is no such object, or it is no problem set.
        Unavailable: the store did not answer.
    """
    questions: list[str] = []
    for index, key in enumerate(keys):
        where = f"evaluation_keys[{index}]"
        try:
            members = await read_set(store, key, where=where)
        except NotFound as error:
            raise InvalidInput(f"no object {key}", field=where) from error
        questions += [problem.question for problem in members]
    return tuple(questions)


async def each_tree(store: ObjectStore, batch_id: str, read: Callable[[bytes], T]) -> list[T]:
    """What `read` makes of every tree of a batch, in the order of their keys.

    Raises:
        RstarError: what `read` raises, or the store.
    """
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(key: str) -> T:
        async with slots:
            return await asyncio.to_thread(read, await store.get(key))

    keys = sorted([key async for key in store.keys(trees_prefix(batch_id)) if key.endswith(".pb")])
    try:
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(one(key)) for key in keys]
    except* RstarError as failures:
        # One cause is enough; callers branch on the class.
        raise first_leaf(failures) from failures
    return [task.result() for task in reading]

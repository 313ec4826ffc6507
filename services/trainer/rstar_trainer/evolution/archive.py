"""A run as one tar archive: its record, problems, trees, data sets and checkpoints.

Objects keep their keys as names, so what an archive holds can be read without us. The last
member says how many there are: a tar file that was cut off reads like a shorter one. A run that
is under way has work in a queue, which stays behind: its archive is that of a run that failed,
and goes on elsewhere with the phase it was in.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO

from google.protobuf.message import DecodeError

from rstar.v1 import evolution_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.checkpoints import MANIFEST
from rstar_common.errors import Cancelled, InvalidInput, NotFound, Unavailable
from rstar_common.recipe_checks import check_run_name
from rstar_common.rpc import failure_of
from rstar_trainer.evolution.belongings import Belongings, run_keys
from rstar_trainer.evolution.store import ENDED

RECORD = "run.pb"
LAST = "entries.txt"
"""The last member: how many objects come before it."""

LARGEST_RECORD = 2**26
"""Bytes of a run's record; what is larger is none."""

MOST_ATTEMPTS = 1000
"""How often a run may have been begun: each time its batches may have other names."""


async def write_archive(store: ObjectStore, run: evolution_pb2.Run, path: Path) -> None:
    """Write the archive of a run, which is not changed by it.

    Raises:
        Unavailable: there is no room for it, or the store is away.
    """
    if run.state not in ENDED:
        run = _interrupted(run)
    record = run.SerializeToString(deterministic=True)
    try:
        with (
            tarfile.open(path, "w") as archive,
            tempfile.TemporaryDirectory(dir=path.parent) as scratch,
        ):
            _add(archive, RECORD, len(record), io.BytesIO(record))
            count = 0
            async for key in run_keys(store, run):
                copy = Path(scratch) / "object"
                await store.get_file(key, copy)
                await asyncio.to_thread(_add_file, archive, key, copy)
                count += 1
            last = f"{count}\n".encode()
            _add(archive, LAST, len(last), io.BytesIO(last))
    except OSError as error:
        raise Unavailable(f"cannot write the archive: {error}") from error


def _interrupted(run: evolution_pb2.Run) -> evolution_pb2.Run:
    """A run that is under way, as if it had failed after what is written of it."""
    copy = evolution_pb2.Run()
    copy.CopyFrom(run)
    copy.state = evolution_pb2.RUN_STATE_FAILED
    copy.finished_at.GetCurrentTime()
    for name in ("policy_before", "ppm_before"):  # what is served there is not what is here
        copy.ClearField(name)
    copy.seconds_left = 0.0
    why = Cancelled(f"exported while it was under way; to go on: rstar evolve resume {run.run_id}")
    copy.failure.CopyFrom(failure_of(why, service="trainer"))
    return copy


async def read_archive(
    store: ObjectStore, path: Path, *, welcome: Callable[[evolution_pb2.Run], None]
) -> evolution_pb2.Run:
    """Put the objects of an archive into the store; returns the run. Doing it again is harmless.

    All names are looked at before anything is written; `welcome` is told of the run, may refuse.

    Raises:
        InvalidInput: it is no archive of a run that has ended, or not a whole one.
        Unavailable: there is no room for it, or the store is away.
    """
    try:
        with (
            tarfile.open(path, "r:") as archive,
            tempfile.TemporaryDirectory(dir=path.parent) as scratch,
        ):
            entries = await asyncio.to_thread(_whole, archive, path)
            run = _record(archive)
            welcome(run)
            belongings = Belongings.of(run)
            foreign = [entry.name for entry in entries if not belongings.have(entry.name)]
            if foreign:
                raise InvalidInput(f"holds {foreign[0]}", field="archive")
            await _check_trees(store, belongings, {entry.name for entry in entries})
            # A checkpoint is there when its manifest is.
            for entry in sorted(entries, key=lambda entry: entry.name.endswith(f"/{MANIFEST}")):
                if await _exists(store, entry.name):  # nothing that is there is replaced
                    continue
                copy = Path(scratch) / "object"
                await asyncio.to_thread(_copy, archive, entry, copy)
                await store.put_file(entry.name, copy)
    except OSError as error:
        raise Unavailable(f"cannot read the archive: {error}") from error
    except (tarfile.TarError, KeyError, ValueError, RecursionError) as error:
        raise InvalidInput(f"not an archive of a run: {error}", field="archive") from error
    return run


def _whole(archive: tarfile.TarFile, path: Path) -> list[tarfile.TarInfo]:
    """The members that are objects."""
    members = archive.getmembers()
    for entry in members:
        if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.issparse():
            raise InvalidInput(f"{entry.name} is no plain file", field="archive")
        if entry.size > path.stat().st_size:
            raise InvalidInput(f"{entry.name} is larger than the archive", field="archive")
    objects = [entry for entry in members if entry.name not in (RECORD, LAST)]
    last = members[-1] if members else None
    content = archive.extractfile(last) if last and last.name == LAST else None
    if content is None or content.read(20).strip() != str(len(objects)).encode():
        raise InvalidInput("is not whole: it was cut off", field="archive")
    return objects


def _record(archive: tarfile.TarFile) -> evolution_pb2.Run:
    member = archive.extractfile(RECORD)
    content = member.read(LARGEST_RECORD + 1) if member else b""
    if len(content) > LARGEST_RECORD:
        raise InvalidInput("its record is too large", field="archive")
    try:
        run = evolution_pb2.Run.FromString(content)
    except DecodeError as error:
        raise InvalidInput(f"not an archive of a run: {error}", field="archive") from error
    check_run_name(run.run_id, field="archive.run_id")
    if run.state not in ENDED:
        raise InvalidInput("not the archive of a run that has ended", field="archive")
    if run.attempts > MOST_ATTEMPTS:
        raise InvalidInput("its record says that it was begun too often", field="archive")
    numbers = [report.round for report in run.rounds]
    if numbers != list(range(len(numbers))) or len(numbers) > len(run.recipe.rounds):
        raise InvalidInput("its rounds are not those of its recipe", field="archive")
    for name in ("policy_before", "ppm_before"):  # what is served there is not what is here
        run.ClearField(name)
    return run


async def _check_trees(store: ObjectStore, belongings: Belongings, names: Collection[str]) -> None:
    """Refuse trees that would be taken for some of a batch that is here."""
    for prefix in belongings.batches:
        theirs = [name for name in names if name.startswith(prefix)]
        if theirs and any([key not in names async for key in store.keys(prefix)]):
            raise InvalidInput(f"holds {theirs[0]}, of another batch here", field="archive")


def _copy(archive: tarfile.TarFile, entry: tarfile.TarInfo, to: Path) -> None:
    content = archive.extractfile(entry)
    assert content is not None, "a file has content"
    with to.open("wb") as file:
        shutil.copyfileobj(content, file)


async def _exists(store: ObjectStore, key: str) -> bool:
    try:
        await store.size(key)
    except NotFound:
        return False
    return True


def _add_file(archive: tarfile.TarFile, name: str, file: Path) -> None:
    with file.open("rb") as content:
        _add(archive, name, file.stat().st_size, content)
    file.unlink()


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    archive.addfile(entry, content)

"""A run as one tar archive: its record, problems, trees, data sets and checkpoints.

Objects keep their keys as names, so what an archive holds can be read without us. A run that is
under way has work in a queue, which stays behind: its archive is that of a run that failed, and
goes on elsewhere with the phase it was in.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

from google.protobuf.message import DecodeError

from rstar.v1 import evolution_pb2
from rstar_common.artifacts import DATASETS, ObjectStore, trees_prefix
from rstar_common.checkpoints import BOOTSTRAP, PREFIX
from rstar_common.errors import Cancelled, InvalidInput, NotFound
from rstar_common.rpc import failure_of
from rstar_trainer.evolution.problems import run_prefix
from rstar_trainer.evolution.store import ENDED

RECORD = "run.pb"
_KEY_PREFIXES = ("trees/", "evolution/", DATASETS, PREFIX)


async def run_keys(store: ObjectStore, run: evolution_pb2.Run) -> AsyncIterator[str]:
    """Keys of every object of a run, each once."""
    told: set[str] = set()
    async for key in _all_keys(store, run):
        if key not in told:
            told.add(key)
            yield key


async def _all_keys(store: ObjectStore, run: evolution_pb2.Run) -> AsyncIterator[str]:
    for pool in run.recipe.pools:
        yield pool.problems_key
    for evaluation_set in run.recipe.evaluation_sets:
        yield evaluation_set.problems_key
    batches: list[str] = []
    # What the next round, or a round that failed, begins with.
    versions = [("policy", run.policy_version), ("ppm", run.ppm_version)]
    # What it asks for and others made, of rounds not begun too: all is looked for when it goes on.
    for round_ in run.recipe.rounds:
        if round_.problems_of:
            yield round_.problems_of
        batches += round_.batch_ids
        versions += [
            *(("policy", round_.policy_version), ("ppm", round_.ppm_version)),
            *(("policy", round_.search_policy), ("ppm", round_.search_ppm)),
            ("policy", round_.policy.base),
        ]
    for report in run.rounds:
        if report.problems_key and not report.problems_key.startswith(run_prefix(run.run_id)):
            yield report.problems_key  # of a run that this one branched from
        batches += [report.batch_id, report.second_batch_id]
        batches += [made.batch_id for made in report.evaluations]
        versions += [
            *(("policy", report.policy_version), ("ppm", report.ppm_version)),
            *(("policy", report.search_policy), ("ppm", report.search_ppm)),
        ]
    prefixes = [run_prefix(run.run_id)]
    prefixes += [trees_prefix(batch_id) for batch_id in batches if batch_id]
    for model, version in versions:
        if version and version != BOOTSTRAP:
            prefixes += [f"{PREFIX}{model}/{version}/", f"{DATASETS}{version}/"]
    for prefix in prefixes:
        async for key in store.keys(prefix):
            yield key


async def write_archive(store: ObjectStore, run: evolution_pb2.Run, path: Path) -> None:
    """Write the archive of a run, which is not changed by it."""
    if run.state not in ENDED:
        run = _interrupted(run)
    record = run.SerializeToString(deterministic=True)
    with (
        tarfile.open(path, "w") as archive,
        tempfile.TemporaryDirectory(dir=path.parent) as scratch,
    ):
        _add(archive, RECORD, len(record), io.BytesIO(record))
        async for key in run_keys(store, run):
            copy = Path(scratch) / "object"
            await store.get_file(key, copy)
            with copy.open("rb") as content:
                _add(archive, key, copy.stat().st_size, content)
            copy.unlink()


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
        InvalidInput: it is no archive of a run that has ended.
    """
    try:
        with (
            tarfile.open(path, "r:") as archive,
            tempfile.TemporaryDirectory(dir=path.parent) as scratch,
        ):
            member = archive.extractfile(RECORD)
            run = evolution_pb2.Run.FromString(member.read() if member else b"")
            if run.state not in ENDED:
                raise InvalidInput("not the archive of a run that has ended", field="archive")
            welcome(run)
            entries = [entry for entry in archive.getmembers() if entry.name != RECORD]
            for entry in entries:
                if not entry.isfile() or not entry.name.startswith(_KEY_PREFIXES):
                    raise InvalidInput(f"holds {entry.name}", field="archive")
            for entry in entries:
                content = archive.extractfile(entry)
                assert content is not None, "a file has content"
                if await _exists(store, entry.name):  # nothing that is there is replaced
                    continue
                copy = Path(scratch) / "object"
                with copy.open("wb") as file:
                    shutil.copyfileobj(content, file)
                await store.put_file(entry.name, copy)
    except (tarfile.TarError, KeyError, DecodeError) as error:
        raise InvalidInput(f"not an archive of a run: {error}", field="archive") from error
    return run


async def _exists(store: ObjectStore, key: str) -> bool:
    try:
        await store.size(key)
    except NotFound:
        return False
    return True


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    archive.addfile(entry, content)

"""Archives of runs on a real store: what is refused leaves nothing behind."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from rstar.v1 import evolution_pb2
from rstar_common.artifacts import ObjectStore, tree_key
from rstar_common.errors import Conflict, InvalidInput
from rstar_trainer.evolution.archive import RECORD, read_archive

ENDED = evolution_pb2.Run(run_id="moved", state=evolution_pb2.RUN_STATE_SUCCEEDED)


def archive(path: Path, objects: dict[str, bytes], run: evolution_pb2.Run = ENDED) -> Path:
    """An archive of a run with these objects, in this order."""
    with tarfile.open(path, "w") as written:
        for name, content in {RECORD: run.SerializeToString(), **objects}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            written.addfile(entry, io.BytesIO(content))
    return path


async def keys(store: ObjectStore) -> set[str]:
    return {key async for key in store.keys("")}


@pytest.mark.parametrize("name", ["pointers/policy", "/etc/passwd", "../trees/x.pb"])
async def test_an_archive_with_anything_foreign_writes_nothing(tmp_path, store, name):
    before = await keys(store)
    path = archive(tmp_path / "run.tar", {tree_key("foreign", "s"): b"tree", name: b"foreign"})
    with pytest.raises(InvalidInput, match="holds"):
        await read_archive(store, path, welcome=lambda run: None)
    assert await keys(store) == before


async def test_a_run_that_is_not_welcome_writes_nothing(tmp_path, store):
    before = await keys(store)
    path = archive(tmp_path / "run.tar", {tree_key("refused", "s"): b"tree"})

    def refuse(run: evolution_pb2.Run) -> None:
        raise Conflict(f"{run.run_id} is there")

    with pytest.raises(Conflict, match="moved is there"):
        await read_archive(store, path, welcome=refuse)
    assert await keys(store) == before


@pytest.mark.parametrize("content", [b"", b"no archive", bytes(1024)])
async def test_what_is_no_archive_is_said_to_be_none(tmp_path, store, content):
    path = tmp_path / "run.tar"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="archive"):
        await read_archive(store, path, welcome=lambda run: None)


async def test_a_run_that_goes_on_is_not_taken(tmp_path, store):
    going_on = evolution_pb2.Run(run_id="moved", state=evolution_pb2.RUN_STATE_RUNNING)
    path = archive(tmp_path / "run.tar", {}, going_on)
    with pytest.raises(InvalidInput, match="that has ended"):
        await read_archive(store, path, welcome=lambda run: None)


async def test_what_is_there_already_stays_as_it_is(tmp_path, store):
    await store.put(tree_key("kept", "s"), b"ours")
    path = archive(
        tmp_path / "run.tar", {tree_key("kept", "s"): b"theirs", tree_key("kept", "t"): b"new"}
    )
    assert await read_archive(store, path, welcome=lambda run: None) == ENDED
    assert await store.get(tree_key("kept", "s")) == b"ours"
    assert await store.get(tree_key("kept", "t")) == b"new"

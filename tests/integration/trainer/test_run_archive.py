"""Archives of runs on real stores: one restores its run; what is refused leaves nothing behind."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rstar.v1 import evolution_pb2
from rstar_common.artifacts import ObjectStore, tree_key
from rstar_common.checkpoints import read_manifest
from rstar_common.errors import Conflict, InvalidInput, NotFound
from rstar_common.rpc import channel
from rstar_trainer.evolution.archive import LAST, RECORD, read_archive, write_archive
from tests.support.command_line import CommandLine
from tests.support.eventually import eventually
from tests.support.evolution_runs import TREES, Trainer, put_pool, recipe
from tests.support.evolution_world import EvolutionWorld, evolution_world
from tests.support.servers import nats_server, object_store, service

ENDED = evolution_pb2.Run(run_id="moved", state=evolution_pb2.RUN_STATE_SUCCEEDED)
OTHERS = "evolution/of-another-run/round-0/problems.txt"
"""Problem ids that another run wrote down, where `problems_of` finds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A trainer with a queue, a store and a world that nobody else uses."""

    store: ObjectStore
    world: EvolutionWorld
    trainer: Trainer
    command: CommandLine

    async def rstar(self, *arguments: str) -> None:
        """Run `rstar` against it."""
        await asyncio.to_thread(self.command, *arguments)


@asynccontextmanager
async def empty_system(directory: Path) -> AsyncIterator[System]:
    async with nats_server(directory / "nats") as nats, object_store(directory / "s3") as settings:
        store = ObjectStore(settings)
        async with evolution_world(nats, store, TREES) as (world, address):
            environment = {
                "RSTAR_TRAINER_WORK_DIR": str(directory / "work"),
                "RSTAR_TRAINER_THREADS": "1",
                "RSTAR_TRAINER_SEED_MODELS": str(directory),
            } | {
                f"RSTAR_TRAINER_{tier}_ADDRESS": address
                for tier in ("SEARCHER", "POLICY", "PPM", "SANDBOX")
            }
            async with (
                service("trainer", directory, environment, nats=nats, store=settings) as running,
                channel(running.address) as wire,
            ):
                in_store = "RSTAR_CLI_OBJECT_STORE__"
                own = {
                    "RSTAR_CLI_TRAINER": running.address,
                    f"{in_store}ENDPOINT": settings.endpoint,
                    f"{in_store}ACCESS_KEY": settings.access_key.get_secret_value(),
                    f"{in_store}SECRET_KEY": settings.secret_key.get_secret_value(),
                }
                yield System(
                    store=store,
                    world=world,
                    trainer=Trainer(wire, running),
                    command=CommandLine(directory / "home", own),
                )


async def hashes(store: ObjectStore) -> dict[str, str]:
    """SHA-256 of everything in a store, by key."""
    return {key: hashlib.sha256(await store.get(key)).hexdigest() for key in await keys(store)}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_run_is_whole_in_a_system_that_knew_nothing_of_it_and_goes_further_there(tmp_path):
    asked = recipe(rounds=1)
    asked.rounds[0].ClearField("prefer_new")
    asked.rounds[0].problems_of = OTHERS
    first_searched = sorted(TREES)[:20]
    start = evolution_pb2.StartRunRequest(run_id="moved", recipe=asked)
    archive = str(tmp_path / "moved.tar")
    async with empty_system(tmp_path / "here") as here:
        await put_pool(here.store)
        await here.store.put(OTHERS, "".join(f"{name}\n" for name in first_searched).encode())
        await here.trainer.runs.StartRun(start)
        run = await here.trainer.ended("moved")
        assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
        await here.rstar("evolve", "export", "moved", "-o", archive)
        await here.rstar("report", "moved", "-o", str(tmp_path / "report"))
        everything = await hashes(here.store)
    # Of the first system nothing is left but the archive.
    async with empty_system(tmp_path / "there") as there:
        assert await keys(there.store) < set(everything)
        await there.rstar("evolve", "import", archive)
        reply = await there.trainer.runs.GetRun(evolution_pb2.GetRunRequest(run_id="moved"))
        assert reply.run == run
        assert await hashes(there.store) == everything
        await there.rstar("report", "moved", "-o", str(tmp_path / "report-there"))
        report = contents(tmp_path / "report-there")
        assert report == contents(tmp_path / "report")
        assert report.keys() >= {"README.md", "index.html", "run.json", "loss.svg"}

        start.recipe.rounds.append(recipe().rounds[1])
        await there.trainer.runs.StartRun(start)
        further = await there.trainer.ended("moved")
        assert further.state == evolution_pb2.RUN_STATE_SUCCEEDED, further.failure
        first, second = further.rounds
        assert first == run.rounds[0]
        assert list(there.world.published) == ["moved/r1/search", "moved/r1/eval/greedy"]
        # By the policy that came along, of the problems that are not in the trees that did.
        assert there.world.served["moved/r1/search"] == first.policy_version
        searched = {one.problem_id for one in there.world.batches["moved/r1/search"].problems}
        assert searched == set(TREES) - set(first_searched)
        taught = await read_manifest(there.store, "policy", second.policy_version)
        assert taught.batch_ids == ["moved/r0/search", "moved/r1/search"]
        assert second.policy_metrics["problems"] > first.policy_metrics["problems"]


def cut_off(archive: Path) -> Path:
    part = archive.with_name(f"part-{archive.name}")
    part.write_bytes(archive.read_bytes()[:-50])
    return part


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_run_under_way_goes_on_elsewhere_from_the_phase_it_was_in(tmp_path):
    start = evolution_pb2.StartRunRequest(run_id="moved", recipe=recipe(rounds=1))
    archive = str(tmp_path / "moved.tar.xz")
    async with empty_system(tmp_path / "here") as here:
        await put_pool(here.store)
        here.world.never_ends = "/eval/"
        await here.trainer.runs.StartRun(start)
        await eventually(lambda: here.world.published["moved/r0/eval/greedy"] == 1, seconds=240)
        await here.rstar("evolve", "export", "moved", "-o", archive)
        going_on = await here.trainer.runs.GetRun(evolution_pb2.GetRunRequest(run_id="moved"))
        assert going_on.run.state == evolution_pb2.RUN_STATE_RUNNING
    async with empty_system(tmp_path / "there") as there:
        part = cut_off(Path(archive))
        with pytest.raises(AssertionError, match=r"archive: (is not whole|not an archive)"):
            await there.rstar("evolve", "import", str(part))
        await there.rstar("evolve", "import", archive)
        reply = await there.trainer.runs.GetRun(evolution_pb2.GetRunRequest(run_id="moved"))
        assert reply.run.state == evolution_pb2.RUN_STATE_FAILED
        assert "rstar evolve resume moved" in reply.run.failure.message
        await there.rstar("evolve", "resume", "moved")
        run = await there.trainer.ended("moved")
        assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
        assert list(there.world.published) == ["moved/r0/eval/greedy"]
        [was], [became] = going_on.run.rounds, run.rounds
        assert became.promoted
        assert (became.policy_version, became.ppm_version) == (was.policy_version, was.ppm_version)
        assert (await there.world.pointers.current("policy")).version == was.policy_version


@pytest.mark.parametrize(
    "state", [evolution_pb2.RUN_STATE_SUCCEEDED, evolution_pb2.RUN_STATE_FAILED]
)
async def test_what_a_run_would_go_on_with_is_in_its_archive(tmp_path, store, state):
    # What was served when it began is the business of where it began.
    run = evolution_pb2.Run(
        run_id="goes-on", state=state, policy_version="policy-best", ppm_before="ppm-before"
    )
    run.recipe.rounds.add()
    run.rounds.add(round=0, search_policy="bootstrap", policy_version="policy-not-promoted")
    run.recipe.rounds[0].evaluations.add(name="greedy")
    under_way = {
        tree_key(f"goes-on/r0/{batch}", "s") for batch in ("search", "second", "eval/greedy")
    }
    for key in under_way:  # none is in the record: nobody knows whether they would be done
        await store.put(key, b"tree")
    # Not begun, and what it asks for is looked for all the same.
    run.recipe.rounds.add(
        problems_of=OTHERS, search_policy="policy-search", search_ppm="ppm-search"
    )
    run.recipe.rounds.add(batch_ids=["given"], policy_version="policy-given")
    run.recipe.rounds[2].policy.base = "policy-base"
    await store.put(OTHERS, b"ids")
    await store.put(tree_key("given", "s"), b"tree")
    versions = {
        *("policy-best", "policy-not-promoted", "policy-search", "policy-given", "policy-base"),
        *("ppm-before", "ppm-search"),
    }
    for version in versions:
        model = version.partition("-")[0]
        await store.put(f"checkpoints/{model}/{version}/model.safetensors", b"weights")
    await write_archive(store, run, tmp_path / "run.tar")
    with tarfile.open(tmp_path / "run.tar") as written:
        names = set(written.getnames())
    assert {RECORD, OTHERS, tree_key("given", "s"), *under_way} < names
    kept = {name.split("/")[2] for name in names if name.startswith("checkpoints/")}
    assert kept == versions - {"ppm-before"}


def archive(
    path: Path, objects: dict[str, bytes], run: evolution_pb2.Run = ENDED, *, whole: bool = True
) -> Path:
    """An archive of a run with these objects, in this order."""
    last = {LAST: str(len(objects)).encode()} if whole else {}
    with tarfile.open(path, "w") as written:
        for name, content in {RECORD: run.SerializeToString(), **objects, **last}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            written.addfile(entry, io.BytesIO(content))
    return path


def searched(*batch_ids: str) -> evolution_pb2.Run:
    """A run that ended, with these batches."""
    run = evolution_pb2.Run(run_id="moved", state=evolution_pb2.RUN_STATE_SUCCEEDED)
    run.recipe.rounds.add(batch_ids=batch_ids)
    return run


async def keys(store: ObjectStore) -> set[str]:
    return {key async for key in store.keys("")}


@pytest.mark.parametrize(
    "name",
    ["pointers/policy", "/etc/passwd", "../trees/x.pb", "trees/others/s.pb", "evolution/other/x"],
)
async def test_an_archive_with_anything_foreign_writes_nothing(tmp_path, store, name):
    before = await keys(store)
    objects = {tree_key("foreign", "s"): b"tree", name: b"foreign"}
    path = archive(tmp_path / "run.tar", objects, searched("foreign"))
    with pytest.raises(InvalidInput, match=f"holds {name}"):
        await read_archive(store, path, welcome=lambda run: None)
    assert await keys(store) == before


async def test_a_run_that_is_not_welcome_writes_nothing(tmp_path, store):
    before = await keys(store)
    path = archive(tmp_path / "run.tar", {tree_key("refused", "s"): b"tree"}, searched("refused"))

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


async def test_an_archive_that_was_cut_off_anywhere_writes_nothing(tmp_path, store):
    before = await keys(store)
    objects = {tree_key("cut", f"s{number}"): b"tree" * 300 for number in range(3)}
    whole = archive(tmp_path / "whole.tar", objects, searched("cut")).read_bytes()
    end = whole.index(LAST.encode())
    path = tmp_path / "run.tar"
    for size in range(0, end + 1, 256):
        path.write_bytes(whole[:size])
        with pytest.raises(InvalidInput, match="archive"):
            await read_archive(store, path, welcome=lambda run: None)
    unsaid = archive(path, objects, searched("cut"), whole=False)
    with pytest.raises(InvalidInput, match="cut off"):
        await read_archive(store, unsaid, welcome=lambda run: None)
    assert await keys(store) == before


async def test_no_member_is_more_than_the_archive_holds(tmp_path, store):
    path = tmp_path / "run.tar"
    bomb = tarfile.TarInfo(tree_key("bomb", "s"))
    bomb.type, bomb.linkname = tarfile.SYMTYPE, "/dev/zero"
    with tarfile.open(archive(path, {}, searched("bomb")), "a") as written:
        written.addfile(bomb)
    with pytest.raises(InvalidInput, match="no plain file"):
        await read_archive(store, path, welcome=lambda run: None)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as written:
        bomb = tarfile.TarInfo(tree_key("bomb", "s"))
        bomb.pax_headers = {"GNU.sparse.map": f"0,1,{2**40},1", "GNU.sparse.size": str(2**40)}
        bomb.size = 2
        written.addfile(bomb, io.BytesIO(b"ab"))
    with pytest.raises(InvalidInput, match="archive"):
        await read_archive(store, path, welcome=lambda run: None)


@pytest.mark.parametrize(
    ("run", "what"),
    [
        (evolution_pb2.Run(run_id="../x", state=evolution_pb2.RUN_STATE_FAILED), "run_id"),
        (evolution_pb2.Run(run_id="x", state=evolution_pb2.RUN_STATE_RUNNING), "that has ended"),
        (
            evolution_pb2.Run(
                run_id="x",
                state=evolution_pb2.RUN_STATE_FAILED,
                rounds=[evolution_pb2.RoundReport(round=7)],
            ),
            "its rounds",
        ),
    ],
)
async def test_a_record_that_could_not_go_on_is_not_taken(tmp_path, store, run, what):
    path = archive(tmp_path / "run.tar", {}, run)
    with pytest.raises(InvalidInput, match=what):
        await read_archive(store, path, welcome=lambda run: None)


async def test_what_was_served_elsewhere_is_forgotten(tmp_path, store):
    run = evolution_pb2.Run()
    run.CopyFrom(ENDED)
    run.policy_before, run.ppm_before = "theirs", "theirs"
    path = archive(tmp_path / "run.tar", {}, run)
    assert await read_archive(store, path, welcome=lambda run: None) == ENDED


async def test_what_is_there_already_stays_as_it_is(tmp_path, store):
    await store.put(tree_key("kept", "s"), b"ours")
    path = archive(
        tmp_path / "run.tar",
        {tree_key("kept", "s"): b"theirs", tree_key("kept", "t"): b"new"},
        searched("kept"),
    )
    assert await read_archive(store, path, welcome=lambda run: None) == searched("kept")
    assert await store.get(tree_key("kept", "s")) == b"ours"
    assert await store.get(tree_key("kept", "t")) == b"new"


async def test_trees_do_not_join_those_of_another_batch(tmp_path, store):
    await store.put(tree_key("mine", "s"), b"ours")
    objects = {tree_key("mine", "t"): b"theirs"}
    path = archive(tmp_path / "run.tar", objects, searched("mine"))
    with pytest.raises(InvalidInput, match="of another batch here"):
        await read_archive(store, path, welcome=lambda run: None)
    assert tree_key("mine", "t") not in await keys(store)


async def test_a_manifest_is_the_last_of_its_checkpoint(tmp_path):
    class Notes:
        """A store that has nothing, and remembers what it is given."""

        def __init__(self) -> None:
            self.put: list[str] = []

        async def size(self, key: str) -> int:
            raise NotFound(key)

        async def put_file(self, key: str, path: Path) -> None:
            self.put.append(key.rpartition("/")[2])

    run = evolution_pb2.Run()
    run.CopyFrom(ENDED)
    run.policy_version = "v"
    names = ("config.json", "manifest.json", "model.safetensors")
    objects = {f"checkpoints/policy/v/{name}": b"x" for name in names}
    notes = Notes()
    await read_archive(notes, archive(tmp_path / "a.tar", objects, run), welcome=lambda run: None)
    assert notes.put == ["config.json", "model.safetensors", "manifest.json"]


async def test_a_run_that_was_begun_too_often_is_refused(tmp_path, store):
    run = searched("given")
    run.attempts = 2**32 - 1
    path = archive(tmp_path / "run.tar", {tree_key("given", "s"): b"tree"}, run)
    with pytest.raises(InvalidInput, match="begun too often"):
        await read_archive(store, path, welcome=lambda run: None)

"""`rstar evolve FILE --dry-run` against a real trainer: wrong recipes are refused by their line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from rstar.v1 import evolution_pb2, evolution_pb2_grpc
from rstar_cli.local.process import program
from rstar_common.artifacts import ObjectStore
from rstar_common.config import ObjectStoreSettings
from rstar_common.rpc import channel
from tests.support.evolution_world import evolution_world
from tests.support.servers import nats_server, service

RECIPE = """\
name = "small"
[[pools]]
name = "train"
path = "train.jsonl"
[[evaluation_sets]]
name = "held"
path = "held.jsonl"
[defaults.round.search]
mode = "terminal_guided"
[defaults.round.policy.training]
learning_rate = 0.001
[[rounds]]
bootstrap = true
[[rounds.evaluations]]
name = "greedy"
set = "held"
[[rounds]]
pools = ["train"]
[[rounds.evaluations]]
name = "greedy"
set = "held"
[[rounds.gates]]
evaluation = "greedy"
max_drop = 0.1
"""

FAULTS = [
    ('path = "train.jsonl"', 'file = "train.jsonl"', ":4: pools[0].file: unknown key"),
    ('path = "train.jsonl"', 'path = "none.jsonl"', ":4: pools[0].path: no file"),
    ('pools = ["train"]', 'pools = ["other"]', ":18: rounds[1].pools[0]: no pool 'other'"),
    ('path = "held.jsonl"', 'path = "part.jsonl"', ":7: evaluation_sets[0].path: held lies inside"),
    ("max_drop = 0.1", "min_accuracy = 1.1", ":24: rounds[1].gates[0].min_accuracy: can never"),
    (
        "learning_rate = 0.001",
        "learning_rate = 5.0",
        ":11: rounds[0].policy.training.learning_rate: Input should be",
    ),
]


async def test_wrong_recipes_are_refused_by_file_and_line_and_nothing_is_published(
    tmp_path, object_store_settings
):
    write_problems(tmp_path / "train.jsonl", range(8))
    write_problems(tmp_path / "part.jsonl", range(2, 4))
    write_problems(tmp_path / "held.jsonl", range(8, 10))
    store = ObjectStore(object_store_settings)
    await store.ready()
    async with (
        nats_server(tmp_path / "nats") as nats,
        evolution_world(nats, store, {}) as (world, address),
        service(
            "trainer",
            tmp_path,
            {
                "RSTAR_TRAINER_WORK_DIR": str(tmp_path / "work"),
                "RSTAR_TRAINER_SEED_MODELS": str(tmp_path),
                "RSTAR_TRAINER_SEARCHER_ADDRESS": address,
                "RSTAR_TRAINER_POLICY_ADDRESS": address,
                "RSTAR_TRAINER_SANDBOX_ADDRESS": address,
            },
            nats=nats,
            store=object_store_settings,
        ) as trainer,
    ):
        status, stderr = await dry_run(RECIPE, tmp_path, trainer.address, object_store_settings)
        assert status == 0, stderr
        for old, new, expected in FAULTS:
            text = RECIPE.replace(old, new)
            status, stderr = await dry_run(text, tmp_path, trainer.address, object_store_settings)
            assert status == 2, stderr
            assert stderr.startswith(f"rstar: {tmp_path / 'r.toml'}{expected}"), stderr
            assert len(stderr.splitlines()) == 1
        async with channel(trainer.address) as wire:
            runs = evolution_pb2_grpc.EvolutionServiceStub(wire)
            assert not (await runs.ListRuns(evolution_pb2.ListRunsRequest())).runs
        assert not world.published


def write_problems(path: Path, numbers: range) -> None:
    """Problems with ids of their own file: what is the same is their text."""
    lines = (
        json.dumps({"id": f"{path.stem}-{n}", "question": f"What is {n} squared?", "answer": n * n})
        for n in numbers
    )
    path.write_text("".join(f"{line}\n" for line in lines))


async def dry_run(
    recipe: str, directory: Path, trainer: str, store: ObjectStoreSettings
) -> tuple[int | None, str]:
    """Exit status and stderr of `rstar evolve FILE --dry-run`."""
    path = directory / "r.toml"
    path.write_text(recipe)
    command = await asyncio.create_subprocess_exec(
        *(program("rstar"), "evolve", str(path), "--dry-run"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={
            "RSTAR_HOME": str(directory / "home"),
            "RSTAR_CLI_TRAINER": trainer,
            "RSTAR_CLI_OBJECT_STORE__ENDPOINT": store.endpoint,
            "RSTAR_CLI_OBJECT_STORE__BUCKET": store.bucket,
            "RSTAR_CLI_OBJECT_STORE__ACCESS_KEY": store.access_key.get_secret_value(),
            "RSTAR_CLI_OBJECT_STORE__SECRET_KEY": store.secret_key.get_secret_value(),
        },
    )
    _, stderr = await command.communicate()
    return command.returncode, stderr.decode()

"""What tests of runs share: a small recipe, its problems, a trainer that carries runs out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToJson

from rstar.v1 import evolution_pb2, evolution_pb2_grpc, trainer_pb2_grpc, tree_pb2, types_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.rpc import channel
from tests.support.arithmetic_trees import WRONG, TreeMaker, arithmetic_trees
from tests.support.servers import service

POOL = "evolution/problems/pool.jsonl"
HARDER = "evolution/problems/harder.jsonl"
TREES = {tree.problem.problem_id: tree for tree in arithmetic_trees(40)}


async def put_pool(store: ObjectStore) -> None:
    """A training pool and an evaluation set, where `recipe` expects them."""
    pool = [
        types_pb2.Problem(
            problem_id=name, question=tree.problem.question, reference="1", labels={"module": "a"}
        )
        for name, tree in TREES.items()
    ]
    held = [
        types_pb2.Problem(problem_id=f"e{n}", question=f"What is {n} squared?", reference="1")
        for n in range(4)
    ]
    for key, problems in (("pool", pool), ("held", held)):
        lines = "".join(MessageToJson(one, indent=None) + "\n" for one in problems)
        await store.put(f"evolution/problems/{key}.jsonl", lines.encode())


async def with_a_hard_problem(store: ObjectStore) -> dict[str, tree_pb2.Tree]:
    """Trees of the pool and of a problem that nobody solves; all of them are at `HARDER`."""
    hard = TreeMaker(question="What is hard?", problem_id="hard")
    hard.answer(0, "print(1)", "1", WRONG)
    problem = types_pb2.Problem(problem_id="hard", question="What is hard?", reference="2")
    pool = await store.get("evolution/problems/pool.jsonl")
    await store.put(HARDER, pool + (MessageToJson(problem, indent=None) + "\n").encode())
    return {**TREES, "hard": hard.build()}


def recipe(*, rounds: int = 2, **last_gate: float) -> evolution_pb2.Recipe:
    """Random programs on half of the pool, then what they taught on the rest; one PPM."""
    made = evolution_pb2.Recipe(name="test", seed=3)
    made.pools.add(name="train", problems_key="evolution/problems/pool.jsonl")
    made.evaluation_sets.add(name="held", problems_key="evolution/problems/held.jsonl")
    for number in range(rounds):
        round_ = made.rounds.add(bootstrap=number == 0, problems=20, prefer_new=True)
        round_.search.mode = types_pb2.SEARCH_MODE_TERMINAL_GUIDED
        round_.policy.shape.hidden_size = 32
        round_.policy.shape.layers = 1
        round_.policy.shape.heads = 2
        round_.policy.shape.key_value_heads = 1
        round_.policy.shape.intermediate_size = 64
        round_.policy.shape.vocabulary_size = 300
        round_.policy.training.max_steps = 3
        round_.policy.training.batch_tokens = 256
        if number == 0:
            round_.ppm.min_margin = 0.1
            round_.ppm.training.max_steps = 2
        round_.evaluations.add(name="greedy", set="held")
    if last_gate:
        made.rounds[-1].gates.add(evaluation="greedy", **last_gate)
    return made


def arm(round_: evolution_pb2.Round, *batch_ids: str) -> None:
    """Make a round learn from given trees, and search nothing."""
    for name in ("bootstrap", "problems", "prefer_new"):
        round_.ClearField(name)
    round_.batch_ids.extend(batch_ids)


def question(number: int) -> str:
    """Of a problem of the pool."""
    return TREES[f"arithmetic-{number}"].problem.question


async def put_problems(store: ObjectStore, name: str, questions: Sequence[str]) -> str:
    """Put problems `NAME-0`, `NAME-1`, … into the store; returns their key."""
    problems = [
        types_pb2.Problem(problem_id=f"{name}-{n}", question=text, reference="1")
        for n, text in enumerate(questions)
    ]
    lines = "".join(MessageToJson(one, indent=None) + "\n" for one in problems)
    key = f"evolution/problems/{name}.jsonl"
    await store.put(key, lines.encode())
    return key


class Trainer:
    """A running trainer's stubs."""

    def __init__(self, wire: grpc.aio.Channel, running: object) -> None:
        self.runs = evolution_pb2_grpc.EvolutionServiceStub(wire)
        self.jobs = trainer_pb2_grpc.TrainerServiceStub(wire)
        self.process = running.process

    async def until(self, run_id: str, wanted) -> evolution_pb2.Run:
        """Watch a run until it is as wanted; one that ends first was not."""
        run = evolution_pb2.Run()
        async for reply in self.runs.WatchRun(evolution_pb2.WatchRunRequest(run_id=run_id)):
            run = reply.run
            if wanted(run):
                return run
        raise AssertionError(f"{run_id} ended: {run}")

    async def ended(self, run_id: str) -> evolution_pb2.Run:
        """Watch a run until it has ended, however it does."""
        run = evolution_pb2.Run()
        async for reply in self.runs.WatchRun(evolution_pb2.WatchRunRequest(run_id=run_id)):
            run = reply.run
        return run


@asynccontextmanager
async def trainer(
    directory: Path, nats: NatsSettings, store: ObjectStoreSettings, world: str, **more: str
) -> AsyncIterator[Trainer]:
    environment = {
        "RSTAR_TRAINER_WORK_DIR": str(directory / "work"),
        "RSTAR_TRAINER_THREADS": "1",
        "RSTAR_TRAINER_SEED_MODELS": str(directory),
        "RSTAR_TRAINER_SEARCHER_ADDRESS": world,
        "RSTAR_TRAINER_POLICY_ADDRESS": world,
        "RSTAR_TRAINER_PPM_ADDRESS": world,
        "RSTAR_TRAINER_SANDBOX_ADDRESS": world,
        **more,
    }
    async with (
        service("trainer", directory, environment, nats=nats, store=store) as running,
        channel(running.address) as wire,
    ):
        yield Trainer(wire, running)

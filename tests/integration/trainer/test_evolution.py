"""Runs of self-evolution on a real queue and store; searchers, models and sandbox scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToJson

from rstar.v1 import (
    evolution_pb2,
    evolution_pb2_grpc,
    trainer_pb2,
    trainer_pb2_grpc,
    types_pb2,
)
from rstar_cli.recipe import read_recipe
from rstar_common.artifacts import ObjectStore, tree_key
from rstar_common.checkpoints import MANIFEST, Manifest
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.rpc import channel
from rstar_trainer.evolution.archive import write_archive
from rstar_trainer.evolution.checks import check_recipe
from tests.support.arithmetic_trees import WRONG, TreeMaker, arithmetic_trees
from tests.support.eventually import eventually
from tests.support.evolution_world import EvolutionWorld, evolution_world
from tests.support.servers import nats_server, service

POOL = "evolution/problems/pool.jsonl"
RECIPES = sorted((Path(__file__).parents[3] / "infra" / "recipes").glob("*.toml"))
TREES = {tree.problem.problem_id: tree for tree in arithmetic_trees(40)}
PHASES = evolution_pb2.RoundPhase


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsSettings]:
    async with nats_server(tmp_path / "nats") as settings:
        yield settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(object_store_settings: ObjectStoreSettings) -> ObjectStore:
    """The store, with a training pool and an evaluation set."""
    store = ObjectStore(object_store_settings)
    await store.ready()
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
    return store


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
        """Watch a run until it is as wanted, or has ended."""
        run = evolution_pb2.Run()
        async for reply in self.runs.WatchRun(evolution_pb2.WatchRunRequest(run_id=run_id)):
            run = reply.run
            if wanted(run):
                break
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


def check_done_once(world: EvolutionWorld, run: evolution_pb2.Run) -> None:
    """Every batch was published, and none that is not the run's own."""
    expected = [f"{run.run_id}/r{n}/{what}" for n in range(2) for what in ("search", "eval/greedy")]
    assert sorted(world.batches) == sorted(expected)
    searched = [p.problem_id for n in range(2) for p in world.batches[expected[2 * n]].problems]
    assert sorted(searched) == sorted(TREES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that went through its deaths, and what is known of it."""

    run: evolution_pb2.Run
    jobs: list[str]
    world: EvolutionWorld
    address: str
    """Of the world."""

    served: dict[str, str]
    """Versions that the pointers name, by model."""

    archive: list[bytes]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(
    tmp_path_factory: pytest.TempPathFactory,
    store: ObjectStore,
    object_store_settings: ObjectStoreSettings,
) -> AsyncIterator[Ended]:
    """Two rounds by five trainers, of which four were killed, each in another phase of the first.

    The second round is asked for when the first has ended.
    """
    killed_in = [
        PHASES.ROUND_PHASE_SEARCHING,
        PHASES.ROUND_PHASE_TRAINING_POLICY,
        PHASES.ROUND_PHASE_TRAINING_PPM,
        PHASES.ROUND_PHASE_EVALUATING,
    ]
    directory = tmp_path_factory.mktemp("mortal")
    one_round = evolution_pb2.StartRunRequest(run_id="mortal", recipe=recipe(rounds=1))
    start = evolution_pb2.StartRunRequest(run_id="mortal", recipe=recipe(min_accuracy=0.9))
    async with (
        nats_server(directory / "nats") as nats,
        evolution_world(nats, store, TREES) as (world, address),
    ):
        for phase in killed_in:
            async with trainer(directory, nats, object_store_settings, address) as running:
                await running.runs.StartRun(one_round)
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await running.runs.StartRun(start)
                assert "has not ended its 1 rounds" in refused.value.details()
                await running.until(
                    "mortal", lambda run, phase=phase: run.rounds and run.rounds[-1].phase >= phase
                )
                running.process.kill()
                await running.process.wait()
        async with trainer(directory, nats, object_store_settings, address) as running:
            run = await running.until("mortal", lambda run: False)
            assert len(run.rounds) == 1
            await running.runs.StartRun(start)
            run = await running.until("mortal", lambda run: False)
            again = await running.runs.StartRun(start)
            assert again.run.created_at == run.created_at
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await running.runs.StartRun(
                    evolution_pb2.StartRunRequest(run_id="mortal", recipe=recipe())
                )
            assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
            jobs = (await running.jobs.ListJobs(trainer_pb2.ListJobsRequest())).jobs
            export = evolution_pb2.ExportRunRequest(run_id="mortal")
            archive = [part.chunk async for part in running.runs.ExportRun(export)]
        served = {name: (await world.pointers.current(name)).version for name in ("policy", "ppm")}
        yield Ended(
            run=run,
            jobs=sorted(job.job_id for job in jobs),
            world=world,
            address=address,
            served=served,
            archive=archive,
        )


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_run_goes_through_deaths_in_every_phase_and_does_nothing_twice(ended: Ended):
    run, world = ended.run, ended.world
    assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
    check_done_once(world, run)
    assert ended.jobs == ["mortal-r0-policy", "mortal-r0-ppm", "mortal-r1-policy"]
    first, second = run.rounds
    assert first.promoted
    assert first.search_policy == "bootstrap"
    assert second.search_policy == first.policy_version != second.policy_version
    # The round that failed its gate was measured with its own models, and did not stay.
    assert world.served["mortal/r1/eval/greedy"] == second.policy_version
    assert not second.promoted
    assert "greedy: 0.500 is below 0.900" in second.decision
    assert ended.served == {"policy": first.policy_version, "ppm": first.ppm_version}
    for name, batch in world.batches.items():
        carries = [problem.HasField("reference") for problem in batch.problems]
        assert carries == ["/eval/" not in name] * len(carries)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_run_whose_batch_was_cancelled_goes_on_and_its_candidates_are_seen_by_nobody(
    tmp_path, nats, store, object_store_settings
):
    hard = TreeMaker(question="What is hard?", problem_id="hard")
    hard.answer(0, "print(1)", "1", WRONG)
    trees = TREES | {"hard": hard.build()}
    made = recipe(rounds=1, min_accuracy=0.1)
    made.candidates_apart = True
    made.rounds[0].problems = 0
    made.rounds[0].second_search.rollouts = 64
    problem = types_pb2.Problem(problem_id="hard", question="What is hard?", reference="2")
    pool = await store.get("evolution/problems/pool.jsonl")
    line = MessageToJson(problem, indent=None) + "\n"
    await store.put("evolution/problems/harder.jsonl", pool + line.encode())
    made.pools[0].problems_key = "evolution/problems/harder.jsonl"
    made.rounds[0].ClearField("ppm")
    # An arm of an ablation, the dull one: it searches nothing and trains nothing.
    await store.put(tree_key("given", "s"), TREES["arithmetic-0"].SerializeToString())
    arm = made.rounds.add(name="one tree", batch_ids=["given"], trial=True)
    arm.evaluations.add(name="greedy", set="held")
    start = evolution_pb2.StartRunRequest(run_id="again", recipe=made)
    channel = {"RSTAR_TRAINER_CHANNEL": "candidates"}
    async with evolution_world(nats, store, trees, channel="candidates") as (world, address):
        world.cancelled.add("again/r0/search")
        async with trainer(tmp_path, nats, object_store_settings, address, **channel) as running:
            await running.runs.StartRun(start)
            run = await running.until("again", lambda run: False)
            assert run.state == evolution_pb2.RUN_STATE_FAILED
            assert "was cancelled" in run.failure.message
            await running.runs.StartRun(start)
            run = await running.until("again", lambda run: False)
        assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
        first, trial = run.rounds
        assert first.batch_id == "again/r0/search-1"
        assert world.published == dict.fromkeys(
            (
                *("again/r0/search", "again/r0/search-1", "again/r0/second"),
                *("again/r0/eval/greedy", "again/r1/eval/greedy"),
            ),
            1,
        )
        # Only what stayed unsolved was searched once more, deeper and with another seed.
        second = world.batches["again/r0/second"]
        assert [one.problem_id for one in second.problems] == ["hard"]
        assert second.settings.rollouts == 64
        assert second.settings.seed != world.batches["again/r0/search-1"].settings.seed
        assert (first.problems, first.solved) == (len(trees), len(TREES))
        # Candidates were measured while everybody else was served what they were served before.
        measured = [f"again/r{number}/eval/greedy" for number in range(2)]
        assert [world.served[name] for name in measured] == [first.policy_version] * 2
        assert [world.promoted[name] for name in measured] == ["bootstrap", first.policy_version]
        assert world.everybody is not None
        assert (await world.everybody.current("policy")).version == first.policy_version
        assert (first.promoted, trial.promoted) == (True, False)
        assert (trial.name, trial.batch_id, trial.decision) == ("one tree", "", "a trial")


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_run_that_is_cancelled_takes_its_training_and_its_models_along(
    tmp_path, nats, store, object_store_settings
):
    endless = recipe(rounds=1)
    endless.rounds[0].policy.training.max_steps = 10**6
    async with (
        evolution_world(nats, store, TREES) as (world, address),
        trainer(tmp_path, nats, object_store_settings, address) as running,
    ):
        began_with = (await world.pointers.current("policy")).version
        await running.runs.StartRun(evolution_pb2.StartRunRequest(run_id="a", recipe=endless))
        await running.until("a", lambda run: "training the policy" in run.stage)
        await running.runs.CancelRun(evolution_pb2.CancelRunRequest(run_id="a"))
        [job] = (await running.jobs.ListJobs(trainer_pb2.ListJobsRequest())).jobs
        assert (job.job_id, job.state) == ("a-r0-policy", trainer_pb2.JOB_STATE_CANCELLED)

        world.never_ends = "/eval/"
        measured = recipe(rounds=1)
        measured.rounds[0].ClearField("ppm")
        await running.runs.StartRun(evolution_pb2.StartRunRequest(run_id="b", recipe=measured))
        await eventually(lambda: world.published["b/r0/eval/greedy"] == 1, seconds=240)
        assert (await world.pointers.current("policy")).version != began_with
        await running.runs.CancelRun(evolution_pb2.CancelRunRequest(run_id="b"))
        assert (await world.pointers.current("policy")).version == began_with


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_run_that_has_ended_moves_in_one_archive(
    tmp_path, nats, store, object_store_settings, ended: Ended
):
    async with trainer(tmp_path, nats, object_store_settings, ended.address) as elsewhere:
        taken = await elsewhere.runs.ImportRun(
            iter([evolution_pb2.ImportRunRequest(chunk=part) for part in ended.archive])
        )
        assert taken.run == ended.run
    version = ended.run.rounds[0].policy_version
    keys = [key async for key in store.keys(f"datasets/{version}/")]
    assert {key.rpartition("/")[2] for key in keys} >= {"README.md", "sft.json", "curve.jsonl"}


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_branch_trains_anew_on_what_another_run_searched(
    tmp_path, nats, store, object_store_settings, ended: Ended
):
    other = recipe(min_accuracy=0.1)
    other.rounds[1].policy.training.max_steps = 2
    start = evolution_pb2.StartRunRequest(
        run_id="branch", recipe=other, branch=evolution_pb2.Branch(run_id="mortal", round=1)
    )
    searched_otherwise = evolution_pb2.StartRunRequest()
    searched_otherwise.CopyFrom(start)
    searched_otherwise.recipe.rounds[1].search.rollouts = 3
    trained_otherwise = evolution_pb2.StartRunRequest()
    trained_otherwise.CopyFrom(start)
    trained_otherwise.recipe.rounds[0].policy.training.max_steps = 2
    too_far = evolution_pb2.StartRunRequest()
    too_far.CopyFrom(start)
    too_far.branch.round = 2
    lines = (await store.get("evolution/problems/pool.jsonl")).splitlines(keepends=True)
    await store.put("evolution/problems/fewer.jsonl", b"".join(lines[1:]))
    fewer_problems = evolution_pb2.StartRunRequest()
    fewer_problems.CopyFrom(start)
    fewer_problems.recipe.pools[0].problems_key = "evolution/problems/fewer.jsonl"
    measured_otherwise = evolution_pb2.StartRunRequest()
    measured_otherwise.CopyFrom(start)
    measured_otherwise.recipe.evaluation_sets[0].problems_key = "evolution/problems/few.jsonl"
    few = types_pb2.Problem(problem_id="few", question="Few?", reference="1")
    await store.put("evolution/problems/few.jsonl", MessageToJson(few, indent=None).encode())
    async with (
        evolution_world(nats, store, TREES) as (world, address),
        trainer(tmp_path, nats, object_store_settings, address) as running,
    ):
        await running.runs.ImportRun(
            iter([evolution_pb2.ImportRunRequest(chunk=part) for part in ended.archive])
        )
        for request, field in (
            (searched_otherwise, "rounds[1].search"),
            (trained_otherwise, "rounds[0]"),
            (too_far, "branch.round"),
            (fewer_problems, "pools"),
            (measured_otherwise, "evaluation_sets"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await running.runs.StartRun(request)
            assert refused.value.details().startswith(f"{field}: "), refused.value.details()
        await running.runs.StartRun(start)
        elsewhere = evolution_pb2.StartRunRequest()
        elsewhere.CopyFrom(start)
        elsewhere.branch.round = 0
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await running.runs.StartRun(elsewhere)
        assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
        run = await running.until("branch", lambda run: False)
        assert run.state == evolution_pb2.RUN_STATE_SUCCEEDED, run.failure
        assert list(world.published) == ["branch/r1/eval/greedy"]
        theirs, ours = ended.run.rounds[1], run.rounds[1]
        assert run.rounds[0] == ended.run.rounds[0]
        assert (ours.batch_id, ours.solved) == (theirs.batch_id, theirs.solved)
        assert (ours.policy_job, ours.policy_metrics["steps"]) == ("branch-r1-policy", 2)
        assert ours.policy_metrics["problems"] == theirs.policy_metrics["problems"]
        assert ours.promoted


async def test_recipes_that_cannot_be_carried_out_are_refused_by_their_field(
    tmp_path, nats, store, object_store_settings
):
    def bad(change) -> evolution_pb2.Recipe:
        made = recipe()
        change(made)
        return made

    def given(made):
        made.rounds[1].ClearField("problems")
        made.rounds[1].ClearField("prefer_new")
        made.rounds[1].batch_ids.append("never-searched")

    def unseen(made):
        made.candidates_apart = True

    def best_of_more(made):
        made.rounds[0].search.strategy = types_pb2.STRATEGY_BEST_OF_N
        made.rounds[0].search.extra_rollouts.append(16)

    def best_of_more_later(made):
        made.rounds[0].second_search.strategy = types_pb2.STRATEGY_BEST_OF_N
        made.rounds[0].second_search.extra_rollouts.append(16)

    def same_set(made):
        made.evaluation_sets[0].problems_key = made.pools[0].problems_key

    def set_inside(made):
        made.evaluation_sets.add(name="inside", problems_key=inside)

    def nothing_left(made):
        made.pools[0].problems_key = inside
        made.evaluation_sets.add(name="all", problems_key=POOL)

    def nothing_left_of_a_pool(made):
        made.pools.add(name="few", problems_key=renamed)
        made.evaluation_sets.add(name="inside", problems_key=mixed)
        made.rounds[1].pools.append("few")

    def leaky(made):
        made.evaluation_sets.add(name="mixed", problems_key=mixed)
        arm(made.rounds[1], "clean", "leaky")

    def base(name):
        return bad(lambda r: setattr(r.rounds[1].policy, "base", name))

    def untrained_before(made):
        made.rounds[0].trial = True

    def scorer_of_the_bootstrap(made):
        made.rounds[1].policy_version = "bootstrap"
        made.rounds[1].ClearField("policy")
        made.rounds[1].ppm.SetInParent()

    def other_number(made):
        made.rounds[0].evaluations[0].problems = 2

    def other_set(made):
        made.evaluation_sets.add(name="other", problems_key=mixed)
        made.rounds[0].evaluations[0].set = "other"

    def only_tried_before(made):
        made.rounds[0].trial = made.rounds[1].bootstrap = True

    def against_round_0(change):
        made = recipe(max_drop=0.1)
        change(made)
        return made

    inside = await put_problems(store, "inside", [f" {question(n).upper()}?" for n in range(4)])
    renamed = await put_problems(store, "renamed", [question(n) for n in range(4)])
    mixed = await put_problems(store, "mixed", [*map(question, range(4)), "What is 1 squared?"])
    for batch_id, name in (("clean", "arithmetic-9"), ("leaky", "arithmetic-3")):
        await store.put(tree_key(batch_id, "s"), TREES[name].SerializeToString())

    faults = [
        ("rounds[1].gates[0].evaluation", bad(lambda r: r.rounds[1].gates.add(evaluation="none"))),
        (
            "rounds[0].gates[0].max_drop",
            bad(lambda r: r.rounds[0].gates.add(evaluation="greedy", max_drop=0.1)),
        ),
        ("rounds[1].gates[0].max_drop", against_round_0(other_number)),
        ("rounds[1].gates[0].max_drop", against_round_0(other_set)),
        ("rounds[1].gates[0].max_drop", against_round_0(only_tried_before)),
        ("rounds[1].gates[0]", bad(lambda r: r.rounds[1].gates.add(evaluation="greedy"))),
        ("rounds[1].gates[0].min_accuracy", recipe(min_accuracy=2.0)),
        ("rounds[0].pools[0]", bad(lambda r: r.rounds[0].pools.append("elsewhere"))),
        ("pools", bad(lambda r: r.ClearField("pools"))),
        ("pools", bad(nothing_left)),
        ("rounds[1].pools", bad(nothing_left_of_a_pool)),
        ("evaluation_sets[0].path", bad(same_set)),
        ("evaluation_sets[1].path", bad(set_inside)),
        ("candidates_apart", bad(unseen)),
        ("rounds[0].bootstrap", bad(lambda r: r.rounds[0].ClearField("bootstrap"))),
        ("rounds[1].bootstrap", bad(untrained_before)),
        ("rounds[1].ppm", bad(scorer_of_the_bootstrap)),
        ("rounds[1].batch_ids[0]", bad(given)),
        ("rounds[1].batch_ids[1]", bad(leaky)),
        (
            "rounds[1].ppm_version",
            bad(lambda r: setattr(r.rounds[1], "ppm_version", "ppm-of-nobody")),
        ),
        ("rounds[1].policy.base", base("policy-of-nobody")),
        ("rounds[1].policy.base", base("Qwen/Qwen2.5-Math-7B")),
        ("rounds[1].policy.base", base("bootstrap")),
        (
            "rounds[0].search.mode",
            bad(lambda r: setattr(r.rounds[0].search, "mode", types_pb2.SEARCH_MODE_PPM_AUGMENTED)),
        ),
        ("rounds[0].search.extra_rollouts", bad(best_of_more)),
        ("rounds[0].second_search.extra_rollouts", bad(best_of_more_later)),
        (
            "rounds[0].policy.training.learning_rate",
            bad(lambda r: setattr(r.rounds[0].policy.training, "learning_rate", 5.0)),
        ),
    ]
    async with (
        evolution_world(nats, store, TREES) as (_, address),
        trainer(tmp_path, nats, object_store_settings, address) as running,
    ):
        for field, made in faults:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await running.runs.StartRun(
                    evolution_pb2.StartRunRequest(run_id="bad", recipe=made)
                )
            assert refused.value.details().startswith(f"{field}: "), refused.value.details()
        planned = await running.runs.StartRun(
            evolution_pb2.StartRunRequest(run_id="dry", recipe=recipe(), dry_run=True)
        )
        assert [one.problems for one in planned.plan] == [20, 20]
        assert not (await running.runs.ListRuns(evolution_pb2.ListRunsRequest())).runs


async def test_what_resembles_a_fault_and_is_none_is_planned(
    tmp_path, nats, store, object_store_settings
):
    def good(change) -> evolution_pb2.Recipe:
        made = recipe(max_drop=0.1)
        change(made)
        return made

    def pool_inside(made):
        made.pools.add(name="few", problems_key=renamed)
        made.evaluation_sets.add(name="mixed", problems_key=mixed)

    def clean(made):
        made.evaluation_sets.add(name="mixed", problems_key=mixed)
        arm(made.rounds[1], "clean")

    def searches_nothing(made):
        made.ClearField("pools")
        for round_ in made.rounds:
            arm(round_, "clean")

    def begins_with_a_policy(made):
        made.rounds[0].ClearField("bootstrap")
        made.rounds[1].policy.base = trained.version

    renamed = await put_problems(store, "renamed", [question(n) for n in range(4)])
    mixed = await put_problems(store, "mixed", [*map(question, range(4)), "What is 1 squared?"])
    await store.put(tree_key("clean", "s"), TREES["arithmetic-9"].SerializeToString())
    trained = Manifest(model="policy", version="policy-0", prompt_format="mini", files={})
    await store.put(trained.prefix + MANIFEST, trained.to_json())
    async with (
        evolution_world(nats, store, TREES) as (world, address),
        trainer(tmp_path, nats, object_store_settings, address) as running,
    ):

        async def planned(made) -> evolution_pb2.StartRunResponse:
            return await running.runs.StartRun(
                evolution_pb2.StartRunRequest(run_id="good", recipe=made, dry_run=True)
            )

        left_out = (await planned(good(pool_inside))).run.contaminated
        assert sorted(one.problem_id for one in left_out) == sorted(
            [f"{name}-{n}" for name in ("arithmetic", "renamed") for n in range(4)]
        )
        assert len((await planned(good(clean))).run.contaminated) == 4
        assert [one.problems for one in (await planned(good(searches_nothing))).plan] == [0, 0]
        await world.pointers.promote(trained)
        assert (await planned(good(begins_with_a_policy))).plan


async def test_a_branch_needs_no_policy_for_searches_that_are_taken_over(
    tmp_path, nats, store, object_store_settings
):
    made = recipe()
    made.rounds[0].ClearField("bootstrap")
    source = evolution_pb2.Run(run_id="old", recipe=made, state=evolution_pb2.RUN_STATE_SUCCEEDED)
    source.rounds.add(
        phase=PHASES.ROUND_PHASE_DONE,
        search_policy="policy-of-old",
        batch_id="old/r0/search",
        problems_key="evolution/old/round-0/problems.txt",
    )
    await store.put("evolution/old/round-0/problems.txt", b"arithmetic-0\n")
    await store.put(tree_key("old/r0/search", "s"), TREES["arithmetic-0"].SerializeToString())
    await write_archive(store, source, tmp_path / "old.tar")
    chunk = (tmp_path / "old.tar").read_bytes()
    whole = evolution_pb2.StartRunRequest(run_id="new", recipe=made, dry_run=True)
    branch = evolution_pb2.StartRunRequest()
    branch.CopyFrom(whole)
    branch.branch.run_id = "old"
    async with (
        evolution_world(nats, store, TREES) as (_, address),
        trainer(tmp_path, nats, object_store_settings, address) as running,
    ):
        await running.runs.ImportRun(iter([evolution_pb2.ImportRunRequest(chunk=chunk)]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await running.runs.StartRun(whole)
        assert refused.value.details().startswith("rounds[0].bootstrap: ")
        assert (await running.runs.StartRun(branch)).run.branch.run_id == "old"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipes_that_ship_can_be_carried_out(path):
    shipped = read_recipe(path).recipe
    first = shipped.rounds[0]
    # One that begins otherwise says in its head which policy is to be promoted before.
    check_recipe(shipped, has_policy=not first.bootstrap, processes=1)

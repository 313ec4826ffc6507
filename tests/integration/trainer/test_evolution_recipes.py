"""Recipes a trainer refuses, by their field, and recipes that only look as if it should."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from rstar.v1 import (
    evolution_pb2,
    types_pb2,
)
from rstar_cli.recipe import read_recipe
from rstar_common.artifacts import tree_key
from rstar_common.checkpoints import MANIFEST, Manifest
from rstar_trainer.evolution.archive import write_archive
from rstar_trainer.evolution.checks import check_recipe
from tests.support.evolution_runs import (
    POOL,
    TREES,
    arm,
    put_problems,
    question,
    recipe,
    trainer,
)
from tests.support.evolution_world import evolution_world

PHASES = evolution_pb2.RoundPhase
RECIPES = sorted((Path(__file__).parents[3] / "infra" / "recipes").glob("*.toml"))


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
        (
            "rounds[1].ppm_version",
            bad(lambda r: setattr(r.rounds[1], "ppm_version", "run-of-nobody:1")),
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

        reply = await planned(good(pool_inside))
        left_out = reply.run.contaminated
        assert [one.count for one in reply.run.contaminated_counts] == [4, 4]
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
    check_recipe(shipped, has_policy=not first.bootstrap)

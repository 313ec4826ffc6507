"""An evaluation over a real searcher, queue and store; the world and the judge are scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import nats
import pytest

from rstar.v1 import (
    policy_pb2,
    policy_pb2_grpc,
    ppm_pb2,
    ppm_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
    types_pb2,
)
from rstar_cli.connection import CliSettings, Endpoints
from rstar_cli.evaluation.evaluation import Plan, evaluate, open_run, plan
from rstar_cli.evaluation.problem_sets import find
from rstar_cli.evaluation.run_directory import RunDirectory
from rstar_common.errors import Conflict, Forbidden, Unavailable
from rstar_common.streams import BATCH_SUBMIT
from tests.support.eventually import eventually
from tests.support.searcher_stack import Stack, new_id, searcher_stack
from tests.support.toy_world import ToyWorld

REFERENCE = "the-reference-of-problem"


async def test_a_set_is_searched_judged_and_reported_and_no_search_is_told_an_answer(
    nats_settings, object_store_settings, nats_url, tmp_path
):
    async with (
        searcher_stack(nats_settings, object_store_settings) as stack,
        judging() as (judge, address),
        overheard(nats_url, BATCH_SUBMIT) as published,
    ):
        judge.searches = lambda: len(stack.worlds)
        where = endpoints(stack, address, nats_settings, object_store_settings)
        asked = question(tmp_path, trajectories=[1, 2], baselines=True)
        run = open_run(tmp_path / "out", asked)
        summary = await evaluate(where, asked, run, quiet=True)
        assert judge.searches_before[0] == len(stack.worlds)
    assert published
    assert not any(REFERENCE.encode() in payload for payload in published)
    arms = {arm["arm"]: arm for arm in summary["results"]}
    assert list(arms) == [
        *("mcts-1", "mcts-2", "greedy"),
        *("sampling-for-mcts-1", "step-beam-for-mcts-1"),
        *("sampling-for-mcts-2", "step-beam-for-mcts-2"),
    ]
    assert all(arm["problems"] == 4 and arm["dead"] == 0 for arm in arms.values())
    one = arms["mcts-1"]
    assert any(judge.right(pair) for pair in judge.asked)
    answers = [record.answer for record in run.records("mcts-1").values()]
    assert one["accuracy"]["selected"]["right"] == sum(int(a or 1) % 2 == 0 for a in answers)
    assert one["by"]["level"].keys() == {"0", "1"}
    assert one["accuracy"].keys() >= {"selected", "majority"}
    for name in ("sampling-for-mcts-1", "sampling-for-mcts-2"):
        assert 0.8 <= arms[name]["token_ratio"] <= 1.25
    assert [table["of"] for table in summary["equal_tokens"]] == ["mcts-1", "mcts-2"]
    for table in summary["equal_tokens"]:
        assert [row["strategy"] for row in table["rows"]] == [
            *("greedy", "majority", "weighted majority", "best-of-n", "step-beam"),
            *("mcts, majority", "mcts, weighted majority", "mcts, best PPM", "mcts"),
        ]
    files = {path.name for path in run.path.iterdir()}
    assert {"summary.json", "report.md", "accuracy.svg", "run.json"} <= files
    assert json.loads((run.path / "summary.json").read_text()) == summary
    assert "| mcts-1 | selected |" in (run.path / "report.md").read_text()


async def test_a_killed_evaluation_goes_on_where_it_was(
    nats_settings, object_store_settings, tmp_path
):
    gate = asyncio.Event()
    worlds: list[ToyWorld] = []

    def world(meter) -> ToyWorld:
        # Two searches go through, the others wait until the evaluation was killed.
        worlds.append(ToyWorld(meter, gate=gate if len(worlds) >= 2 else None))
        return worlds[-1]

    async with (
        searcher_stack(nats_settings, object_store_settings, world=world) as stack,
        judging() as (judge, address),
    ):
        where = endpoints(stack, address, nats_settings, object_store_settings)
        asked = question(tmp_path)
        run = open_run(tmp_path / "out", asked)
        first = asyncio.create_task(evaluate(where, asked, run, quiet=True))
        await eventually(lambda: len(run.records("mcts-1")) == 2)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert not judge.asked
        with (run.path / "mcts-1.jsonl").open("a") as file:
            file.write('{"problem_id": "p3", "status"')  # cut off, as by a kill
        gate.set()
        again = open_run(tmp_path / "out", asked)
        summary = await evaluate(where, asked, again, quiet=True)
        asked_once = len(judge.asked)
        repeated = await evaluate(where, asked, again, quiet=True)
    assert summary["results"][0]["problems"] == 4
    assert summary["results"][0]["dead"] == 0
    assert len(worlds) == 4  # no problem was searched twice
    assert len(judge.asked) == asked_once == len(set(judge.asked))
    assert repeated["results"] == summary["results"]


async def test_other_models_do_not_go_on_with_an_evaluation_nor_pass_for_the_present_ones(
    nats_settings, object_store_settings, tmp_path
):
    async with (
        searcher_stack(nats_settings, object_store_settings) as stack,
        judging() as (_, judge),
        serving() as (models, address),
    ):
        where = endpoints(stack, judge, nats_settings, object_store_settings, models=address)
        asked = question(tmp_path)
        run = open_run(tmp_path / "out", asked)
        first = await evaluate(where, asked, run, quiet=True)
        assert first["versions"]["policy"] == first["served"]["policy"] == ["policy-toy"]

        models.policy = "policy-new"  # promoted; the run is complete
        again = await evaluate(where, asked, run, quiet=True)
        assert again["results"] == first["results"]
        report = (run.path / "report.md").read_text()
        assert "answered by policy policy-toy, PPM ppm-toy." in report
        assert "Served when this was written: policy policy-new, PPM ppm-toy" in report

        records = (run.path / "mcts-1.jsonl").read_text().splitlines(keepends=True)
        (run.path / "mcts-1.jsonl").write_text("".join(records[:3]))  # a problem without a result
        dead = await evaluate(where, asked, run, quiet=True)
        assert dead["results"][0]["dead"] == 1

        (run.path / "summary.json").unlink()  # interrupted
        with pytest.raises(Conflict, match=r"policy-toy.* policy-new.* another --name, or promote"):
            await evaluate(where, asked, run, quiet=True)
        assert len(stack.worlds) == 4
        models.policy = "policy-toy"
        assert (await evaluate(where, asked, run, quiet=True))["results"] == first["results"]
        assert len(stack.worlds) == 4  # what was searched was found

        models.policy = "policy-new"
        elsewhere = open_run(tmp_path / "elsewhere", asked)  # of the same name
        await evaluate(where, asked, elsewhere, quiet=True)
        assert len(stack.worlds) == 8  # the old batch is not taken for theirs


async def test_greedy_decoding_goes_on_whatever_the_ppm(
    nats_settings, object_store_settings, tmp_path
):
    async with (
        searcher_stack(nats_settings, object_store_settings) as stack,
        judging() as (_, judge),
        serving() as (models, address),
    ):
        where = endpoints(stack, judge, nats_settings, object_store_settings, models=address)
        asked = question(tmp_path, strategy=types_pb2.STRATEGY_GREEDY)
        run = open_run(tmp_path / "out", asked)
        first = await evaluate(where, asked, run, quiet=True)
        assert first["versions"].keys() & {"policy", "ppm"} == {"policy"}
        (run.path / "greedy-1.jsonl").unlink()
        models.ppm = "ppm-new"
        assert (await evaluate(where, asked, run, quiet=True))["results"] == first["results"]
        assert len(stack.worlds) == 4


async def test_what_has_ended_is_reported_though_nobody_says_what_is_served(
    nats_settings, object_store_settings, tmp_path
):
    async with (
        searcher_stack(nats_settings, object_store_settings) as stack,
        judging() as (_, judge),
    ):
        asked = question(tmp_path)
        run = open_run(tmp_path / "out", asked)
        await evaluate(
            endpoints(stack, judge, nats_settings, object_store_settings), asked, run, quiet=True
        )
        async with serving() as (models, address):
            where = endpoints(stack, judge, nats_settings, object_store_settings, models=address)
            models.away = True
            assert (await evaluate(where, asked, run, quiet=True))["served"] == {}
            (run.path / "mcts-1.jsonl").unlink()
            with pytest.raises(Unavailable):
                await evaluate(where, asked, run, quiet=True)


async def test_a_searcher_that_is_away_for_a_moment_is_waited_for(
    nats_settings, object_store_settings, tmp_path
):
    trees = Trees([grpc.StatusCode.UNAVAILABLE] * 3)
    async with asking(trees, nats_settings, object_store_settings, tmp_path) as (where, asked, run):
        summary = await evaluate(where, asked, run, quiet=True)
    assert not trees.refusals
    assert summary["results"][0]["trees_gone"] == summary["results"][0]["dead"] == 0
    assert len(run.records("mcts-1")) == 4


async def test_an_evaluation_ends_without_the_trees_that_are_gone(
    nats_settings, object_store_settings, tmp_path
):
    trees = Trees([grpc.StatusCode.NOT_FOUND] * 2)
    async with asking(trees, nats_settings, object_store_settings, tmp_path) as (where, asked, run):
        summary = await evaluate(where, asked, run, quiet=True)
    [arm] = summary["results"]
    assert (arm["problems"], arm["trees_gone"], arm["dead"]) == (4, 2, 0)
    assert all(record.choices for record in run.records("mcts-1").values() if record.answer)
    assert "the trees of 2 of 4 searches" in (run.path / "report.md").read_text()


async def test_a_tree_that_is_refused_ends_an_evaluation_with_one_error(
    nats_settings, object_store_settings, tmp_path
):
    trees = Trees([grpc.StatusCode.PERMISSION_DENIED] * 4)
    async with asking(trees, nats_settings, object_store_settings, tmp_path) as (where, asked, run):
        with pytest.raises(Forbidden, match="not yours"):
            await evaluate(where, asked, run, quiet=True)


@asynccontextmanager
async def asking(
    trees: Trees, nats_settings, object_store_settings, directory: Path
) -> AsyncGenerator[tuple[Endpoints, Plan, RunDirectory]]:
    """An evaluation that may begin, of a searcher that answers for trees as it is told."""
    async with (
        searcher_stack(nats_settings, object_store_settings, interceptors=[trees]) as stack,
        judging() as (_, address),
    ):
        asked = question(directory)
        where = endpoints(stack, address, nats_settings, object_store_settings)
        yield where, asked, open_run(directory / "out", asked)


class Trees(grpc.aio.ServerInterceptor):
    """Refuses as many trees as it is given codes; then the searcher answers."""

    def __init__(self, refusals: list[grpc.StatusCode]) -> None:
        self.refusals = refusals

    async def intercept_service(self, continuation, handler_call_details):
        if not handler_call_details.method.endswith("/GetTree") or not self.refusals:
            return await continuation(handler_call_details)
        code = self.refusals.pop()

        async def refuse(request, context):
            await context.abort(code, "not yours to see")

        return grpc.unary_unary_rpc_method_handler(refuse)


def test_another_question_under_the_same_name_is_refused(tmp_path):
    open_run(tmp_path / "out", question(tmp_path, name="mine"))
    open_run(tmp_path / "out", question(tmp_path, name="mine"))
    with pytest.raises(Conflict, match="another evaluation"):
        open_run(tmp_path / "out", question(tmp_path, name="mine", trajectories=[3]))


def question(
    directory: Path,
    *,
    name: str = "",
    trajectories=(1,),
    baselines: bool = False,
    strategy: types_pb2.Strategy.ValueType = types_pb2.STRATEGY_UNSPECIFIED,
):
    path = directory / "toys.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {
                    "id": f"p{n}",
                    "question": f"toy {n}?",
                    "answer": f"{REFERENCE}-{n}",
                    "level": n % 2,
                }
            )
            + "\n"
            for n in range(4)
        )
    )
    return plan(
        name or new_id("run"),
        find(str(path), None),
        types_pb2.SearchSettings(rollouts=4, candidates=4, strategy=strategy),
        trajectories,
        limit=0,
        baselines=baselines,
    )


def endpoints(
    stack: Stack, judge: str, nats_settings, object_store_settings, *, models: str = ""
) -> Endpoints:
    settings = CliSettings(
        searcher=stack.runner.address,
        sandbox=judge,
        policy=models,
        ppm=models,
        nats=nats_settings,
        object_store=object_store_settings,
    )
    return Endpoints(settings, Path("/nonexistent"))


class ScriptedJudge(sandbox_pb2_grpc.SandboxServiceServicer):
    """Finds even answers right, and remembers what it was asked, and when."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.searches: Callable[[], int] = lambda: 0
        self.searches_before: list[int] = []

    async def Judge(self, request, context):
        self.searches_before.append(self.searches())
        reply = sandbox_pb2.JudgeResponse()
        for pair in request.pairs:
            key = (pair.reference, pair.answer)
            self.asked.append(key)
            right = types_pb2.VERDICT_EQUAL if self.right(key) else types_pb2.VERDICT_UNEQUAL
            reply.judgements.add(verdict=right)
        return reply

    @staticmethod
    def right(key: tuple[str, str]) -> bool:
        return int(key[1]) % 2 == 0


@asynccontextmanager
async def judging() -> AsyncGenerator[tuple[ScriptedJudge, str]]:
    judge, server = ScriptedJudge(), grpc.aio.server()
    sandbox_pb2_grpc.add_SandboxServiceServicer_to_server(judge, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield judge, f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)


class Models(policy_pb2_grpc.PolicyServiceServicer, ppm_pb2_grpc.PpmServiceServicer):
    """Says what is served, and no more: the worlds of the searcher answer."""

    def __init__(self) -> None:
        self.policy, self.ppm, self.away = "policy-toy", "ppm-toy", False

    async def GetPolicyInfo(self, request, context):
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return policy_pb2.GetPolicyInfoResponse(policy_version=self.policy)

    async def GetPpmInfo(self, request, context):
        return ppm_pb2.GetPpmInfoResponse(ppm_version=self.ppm)


@asynccontextmanager
async def serving() -> AsyncGenerator[tuple[Models, str]]:
    models, server = Models(), grpc.aio.server()
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(models, server)
    ppm_pb2_grpc.add_PpmServiceServicer_to_server(models, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield models, f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)


@asynccontextmanager
async def overheard(url: str, subject: str) -> AsyncGenerator[list[bytes]]:
    """What anyone publishes on `subject` during the block."""
    heard: list[bytes] = []

    async def hear(message) -> None:
        heard.append(message.data)

    client = await nats.connect(url)
    try:
        await client.subscribe(subject, cb=hear)
        await client.flush()
        yield heard
    finally:
        await client.close()

"""Everything a run of self-evolution talks to, scripted behind one gRPC server.

Batches are taken from the real queue and "searched" at once: data generation leaves the
prepared tree of each problem in the real store, evaluation answers some problems rightly.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import nats.errors
from nats.js import JetStreamContext

from rstar.v1 import (
    events_pb2,
    policy_pb2,
    policy_pb2_grpc,
    ppm_pb2,
    ppm_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
    searcher_pb2,
    searcher_pb2_grpc,
    tree_pb2,
    types_pb2,
)
from rstar_common.artifacts import ObjectStore, tree_key
from rstar_common.bus import connected
from rstar_common.checkpoints import BOOTSTRAP, Pointers
from rstar_common.config import NatsSettings
from rstar_common.errors import NotFound
from rstar_common.streams import BATCH_SUBMIT, BATCHES, POINTERS, ensure_topology, key_value


@dataclass(slots=True)
class EvolutionWorld(
    searcher_pb2_grpc.BatchServiceServicer,
    policy_pb2_grpc.PolicyServiceServicer,
    ppm_pb2_grpc.PpmServiceServicer,
    sandbox_pb2_grpc.SandboxServiceServicer,
):
    """Serves what the trainer asks of the others; remembers what it was asked."""

    store: ObjectStore
    pointers: Pointers
    trees: dict[str, tree_pb2.Tree]
    """By problem id."""

    right_every: int = 2
    """Of the problems of an evaluation, every so many-th is answered rightly."""

    everybody: Pointers | None = None
    """The pointers without a channel, where `pointers` are those of one."""

    cancelled: set[str] = field(default_factory=set)
    """Batches that somebody cancels."""

    slow_answers: list[grpc.StatusCode] = field(default_factory=list)
    """What the policy says, before it says anything else."""

    never_ends: str = "nothing"
    """Batches whose name has it in it are taken and not searched."""

    batches: dict[str, events_pb2.BatchSubmission] = field(default_factory=dict)
    published: Counter[str] = field(default_factory=Counter)
    served: dict[str, str] = field(default_factory=dict)
    """The policy that was served when a batch came."""

    promoted: dict[str, str] = field(default_factory=dict)
    """The policy that everybody else was served then, where candidates have a channel."""

    told: list[str] = field(default_factory=list)
    """Versions of the policy that somebody asked for and was told, the last one last."""

    results: dict[str, list[searcher_pb2.BatchResult]] = field(default_factory=dict)

    async def take(self, jetstream: JetStreamContext) -> None:
        """Search what is published, for ever."""
        queue = await jetstream.pull_subscribe(BATCH_SUBMIT, durable="world", stream=BATCHES)
        while True:
            try:
                [message] = await queue.fetch(1, timeout=1)
            except nats.errors.TimeoutError:
                continue
            submission = events_pb2.BatchSubmission.FromString(message.data)
            self.published[submission.batch_id] += 1
            kept = self.never_ends in submission.batch_id
            if not kept and submission.batch_id not in self.batches:
                self.served[submission.batch_id] = await self._version("policy")
                if self.everybody is not None:
                    promoted = (await self.everybody.current("policy")).version
                    self.promoted[submission.batch_id] = promoted
                self.results[submission.batch_id] = [
                    await self._search(submission, number, problem)
                    for number, problem in enumerate(submission.problems)
                ]
                self.batches[submission.batch_id] = submission
            await message.ack_sync()

    async def _search(
        self, submission: events_pb2.BatchSubmission, number: int, problem: types_pb2.Problem
    ) -> searcher_pb2.BatchResult:
        result = searcher_pb2.BatchResult(
            batch_id=submission.batch_id,
            problem_id=problem.problem_id,
            question=problem.question,
            labels=problem.labels,
        )
        result.result.status = tree_pb2.SEARCH_STATUS_ANSWERED
        result.result.cost.sandbox_runs = 2
        if problem.HasField("reference"):
            tree = self.trees[problem.problem_id]
            result.result.verdict = types_pb2.VERDICT_EQUAL
            await self.store.put(
                tree_key(submission.batch_id, tree.search_id), tree.SerializeToString()
            )
        else:
            result.result.answer = "right" if number % self.right_every == 0 else "wrong"
        return result

    async def _version(self, model: str) -> str:
        try:
            return (await self.pointers.current(model)).version
        except NotFound:
            return ""

    async def GetBatch(self, request, context):
        if request.batch_id not in self.batches:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such batch")
        count = len(self.batches[request.batch_id].problems)
        return searcher_pb2.GetBatchResponse(
            batch=searcher_pb2.Batch(
                batch_id=request.batch_id,
                state=searcher_pb2.BATCH_STATE_CANCELLED
                if request.batch_id in self.cancelled
                else searcher_pb2.BATCH_STATE_DONE,
                total=count,
                done=count,
            )
        )

    async def ListBatchResults(self, request, context):
        return searcher_pb2.ListBatchResultsResponse(
            results=self.results[request.batch_id], complete=True, next_page_token="end"
        )

    async def CancelBatch(self, request, context):
        return searcher_pb2.CancelBatchResponse()

    async def GetPolicyInfo(self, request, context):
        if self.slow_answers:
            await context.abort(self.slow_answers.pop(), "not now")
        version = await self._version("policy")
        self.told.append(version)
        return policy_pb2.GetPolicyInfoResponse(
            policy_version=version, engine=BOOTSTRAP if version == BOOTSTRAP else "sglang"
        )

    async def GetPpmInfo(self, request, context):
        return ppm_pb2.GetPpmInfoResponse(ppm_version=await self._version("ppm"))

    async def Judge(self, request, context):
        return sandbox_pb2.JudgeResponse(
            judgements=[
                sandbox_pb2.Judgement(
                    verdict=types_pb2.VERDICT_EQUAL
                    if pair.answer == "right"
                    else types_pb2.VERDICT_UNEQUAL
                )
                for pair in request.pairs
            ]
        )


@asynccontextmanager
async def evolution_world(
    nats: NatsSettings, store: ObjectStore, trees: dict[str, tree_pb2.Tree], *, channel: str = ""
) -> AsyncGenerator[tuple[EvolutionWorld, str]]:
    """The world and its address."""
    async with connected(nats, name="world") as client:
        jetstream = client.jetstream()
        await ensure_topology(jetstream)
        bucket = await key_value(jetstream, POINTERS)
        world = EvolutionWorld(
            store=store,
            pointers=Pointers(bucket, channel=channel),
            trees=trees,
            everybody=Pointers(bucket) if channel else None,
        )
        server = grpc.aio.server()
        searcher_pb2_grpc.add_BatchServiceServicer_to_server(world, server)
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(world, server)
        ppm_pb2_grpc.add_PpmServiceServicer_to_server(world, server)
        sandbox_pb2_grpc.add_SandboxServiceServicer_to_server(world, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        taking = asyncio.create_task(world.take(jetstream))
        try:
            yield world, f"127.0.0.1:{port}"
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            await server.stop(None)


async def eventually_serves(world: EvolutionWorld, version: str) -> None:
    async with asyncio.timeout(60):
        while (await world.pointers.current("policy")).version != version:  # noqa: ASYNC110 -- no event tells
            await asyncio.sleep(0.1)

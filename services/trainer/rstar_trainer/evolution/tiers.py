"""The other services, as a run needs them: batches, served versions, verdicts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
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
    types_pb2,
)
from rstar_common.artifacts import INBOX, ObjectStore
from rstar_common.bus import publish_once
from rstar_common.checkpoints import BOOTSTRAP, Model
from rstar_common.config import PeerSettings
from rstar_common.errors import InvalidInput, NotFound, Overloaded
from rstar_common.lines import json_lines
from rstar_common.rpc import call, channel
from rstar_common.streams import BATCH_SUBMIT, token

CALL_SECONDS = 60.0
INLINE_BYTES = 900_000
"""Above this a batch goes through the store: NATS takes 1 MiB, headers included."""

NOT_REFUSED = 2**64 - 1
"""In place of a submission's sequence: none that was refused is meant."""

PAGE = 200
PAIRS_A_CALL = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the other services are; empty where nobody said."""

    searcher: str
    policy: str
    ppm: str
    sandbox: str

    def check(self) -> None:
        """Refuse to drive a run without them.

        Raises:
            InvalidInput: naming the setting that is missing.
        """
        for name in ("searcher", "policy", "sandbox"):
            if not getattr(self, name):
                raise InvalidInput("is not set; runs need it", field=f"{name}_address")


class Tiers:
    """Open channels to the other services."""

    def __init__(
        self,
        store: ObjectStore,
        jetstream: JetStreamContext,
        *,
        batches: searcher_pb2_grpc.BatchServiceAsyncStub,
        policies: Sequence[policy_pb2_grpc.PolicyServiceAsyncStub],
        ppms: Sequence[ppm_pb2_grpc.PpmServiceAsyncStub],
        sandbox: sandbox_pb2_grpc.SandboxServiceAsyncStub,
    ) -> None:
        self._store = store
        self._jetstream = jetstream
        self._batches = batches
        self._policies = policies
        self._ppms = ppms
        self._sandbox = sandbox

    async def publish(
        self,
        batch_id: str,
        problems: Sequence[types_pb2.Problem],
        settings: types_pb2.SearchSettings,
    ) -> int:
        """Publish a batch; one that was accepted already is left alone.

        Returns what `batch` is to be told: refusals of an earlier time do not count any more.
        """
        with suppress(NotFound):
            known = await self.batch(batch_id, submission=NOT_REFUSED)
            if known.state != searcher_pb2.BATCH_STATE_ACCEPTING:
                return NOT_REFUSED
        submission = events_pb2.BatchSubmission(
            batch_id=batch_id, problems=problems, settings=settings
        )
        if submission.ByteSize() > INLINE_BYTES:
            lines = json_lines(problems)
            digest = hashlib.sha256(lines).hexdigest()[:16]
            key = f"{INBOX}{token(batch_id)}/{digest}.jsonl"
            await self._store.put(key, lines)
            submission.ClearField("problems")
            submission.problems_key = key
        return await publish_once(
            self._jetstream,
            BATCH_SUBMIT,
            submission.SerializeToString(),
            headers={"Content-Type": "application/protobuf"},
        )

    async def batch(self, batch_id: str, *, submission: int) -> searcher_pb2.Batch:
        """A batch as it is now.

        Raises:
            NotFound: it was not accepted yet.
            Overloaded, InvalidInput: it was refused, at `submission` or later.
        """
        request = searcher_pb2.GetBatchRequest(batch_id=batch_id, submission=submission)
        return (await call(self._batches.GetBatch(request, timeout=CALL_SECONDS))).batch

    async def tree(self, key: str) -> bytes:
        """A search tree as it was stored. Raises `NotFound`."""
        return await self._store.get(key)

    async def cancel_batch(self, batch_id: str) -> None:
        """Begin no more problems of a batch."""
        request = searcher_pb2.CancelBatchRequest(batch_id=batch_id)
        await call(self._batches.CancelBatch(request, timeout=CALL_SECONDS))

    async def results(self, batch_id: str) -> list[searcher_pb2.BatchResult]:
        """Every result of a batch that has ended, by problem id."""
        found = [result async for result in self.each_result(batch_id)]
        return sorted(found, key=lambda result: result.problem_id)

    async def each_result(self, batch_id: str) -> AsyncIterator[searcher_pb2.BatchResult]:
        """The same in the order of their ends, one page in memory at a time."""
        page_token = ""
        while True:
            request = searcher_pb2.ListBatchResultsRequest(
                batch_id=batch_id, page_size=PAGE, page_token=page_token
            )
            page = await call(self._batches.ListBatchResults(request, timeout=CALL_SECONDS))
            for result in page.results:
                yield result
            if page.complete or not page.results:
                return
            page_token = page.next_page_token

    async def served(self, model: Model) -> set[str]:
        """The versions that the replicas of a service answer with now.

        Raises:
            Unavailable: one does not answer, or serves nothing.
        """
        versions: set[str] = set()
        if model == "policy":
            for policy in self._policies:
                info = await call(
                    policy.GetPolicyInfo(policy_pb2.GetPolicyInfoRequest(), timeout=CALL_SECONDS)
                )
                versions.add(BOOTSTRAP if info.engine == BOOTSTRAP else info.policy_version)
            return versions
        if not self._ppms:
            raise InvalidInput("is not set; this run needs it", field="ppm_address")
        for ppm in self._ppms:
            reply = await call(ppm.GetPpmInfo(ppm_pb2.GetPpmInfoRequest(), timeout=CALL_SECONDS))
            versions.add(reply.ppm_version)
        return versions

    async def judge(
        self, pairs: Sequence[sandbox_pb2.AnswerPair]
    ) -> list[types_pb2.Verdict.ValueType]:
        """A verdict for each pair, in order."""
        verdicts: list[types_pb2.Verdict.ValueType] = []
        for start in range(0, len(pairs), PAIRS_A_CALL):
            request = sandbox_pb2.JudgeRequest(pairs=pairs[start : start + PAIRS_A_CALL])
            while True:
                try:
                    reply = await call(self._sandbox.Judge(request, timeout=CALL_SECONDS))
                    break
                except Overloaded as error:
                    await asyncio.sleep(error.retry_after_seconds)
            verdicts += [judgement.verdict for judgement in reply.judgements]
        return verdicts


@asynccontextmanager
async def open_tiers(
    addresses: Addresses, peers: PeerSettings, store: ObjectStore, jetstream: JetStreamContext
) -> AsyncGenerator[Tiers]:
    """Channels for the length of a run."""
    addresses.check()
    each = {
        name: [one.strip() for one in getattr(addresses, name).split(",") if one.strip()]
        for name in ("searcher", "policy", "ppm", "sandbox")
    }
    async with AsyncExitStack() as stack:

        async def wires(name: str) -> list[grpc.aio.Channel]:
            return [
                await stack.enter_async_context(channel(address, peers)) for address in each[name]
            ]

        # Any searcher tells of any batch, any sandbox judges; of models every replica counts.
        [searcher, *_], [sandbox, *_] = await wires("searcher"), await wires("sandbox")
        yield Tiers(
            store,
            jetstream,
            batches=searcher_pb2_grpc.BatchServiceStub(searcher),
            policies=[policy_pb2_grpc.PolicyServiceStub(wire) for wire in await wires("policy")],
            ppms=[ppm_pb2_grpc.PpmServiceStub(wire) for wire in await wires("ppm")],
            sandbox=sandbox_pb2_grpc.SandboxServiceStub(sandbox),
        )

"""Several SGLang workers behind a router that knows nothing of weights and aborts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from rstar_common.errors import Unavailable
from rstar_common.rpc import Readiness
from rstar_policy.engine import Proposal, Query
from rstar_policy.external import attached
from rstar_policy.sglang_engine import SglangEngine
from rstar_policy.supervisor import Supervisor
from tests.support.eventually import eventually
from tests.support.policy_scripted import scripted_checkpoint
from tests.support.sglang_workers import ScriptedRouter, ScriptedWorker, serving_http

CLOSED = "http://127.0.0.1:9"
"""Nobody listens on the discard port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Two workers, their router, and the engine that asks it."""

    workers: list[ScriptedWorker]
    router: ScriptedRouter
    supervisor: Supervisor
    engine: SglangEngine

    async def propose(self) -> Proposal:
        return await self.engine.propose(
            Query(
                question="q",
                path=(),
                num_candidates=2,
                temperature=1.0,
                top_p=1.0,
                seed=0,
                max_tokens=8,
            )
        )

    async def served(self, version: str) -> None:
        await eventually(
            lambda: self.supervisor.up and self.engine.info().policy_version == version
        )


@asynccontextmanager
async def fleet(*, dead: int = 0) -> AsyncGenerator[Fleet]:
    workers = [ScriptedWorker(), ScriptedWorker()]
    router = ScriptedRouter(workers)
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serving_http(one.answer)) for one in workers]
        front = await stack.enter_async_context(serving_http(router.answer))
        supervisor = Supervisor(
            lambda checkpoint: attached(
                front,
                api_key="",
                checkpoint=checkpoint,
                manage_weights=True,
                workers=[*urls, *[CLOSED] * dead],
            ),
            readiness=Readiness(),
            swap_drain_seconds=60.0,
            restart_seconds=[0.01],
        )
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stop = asyncio.Event()
        group.create_task(supervisor.run(stop))
        stack.callback(stop.set)
        one = Fleet(
            workers=workers, router=router, supervisor=supervisor, engine=SglangEngine(supervisor)
        )
        supervisor.want(scripted_checkpoint("v1"))
        await one.served("v1")
        yield one


def labels(proposals: list[Proposal]) -> set[str]:
    return {c.policy_version for proposal in proposals for c in proposal.candidates}


async def test_calls_go_through_the_router_and_weights_to_every_worker():
    async with fleet() as one:
        assert labels([await one.propose() for _ in range(4)]) == {"v1"}
        assert all(worker.asked for worker in one.workers)
        one.supervisor.want(scripted_checkpoint("v2"))
        await one.served("v2")
        assert labels([await one.propose() for _ in range(4)]) == {"v2"}
        assert [worker.loaded for worker in one.workers] == [["v1", "v2"]] * 2
        assert not one.router.refused


async def test_a_worker_that_is_down_is_left_out():
    async with fleet(dead=1) as one:
        one.supervisor.want(scripted_checkpoint("v2"))
        await one.served("v2")
        assert labels([await one.propose() for _ in range(4)]) == {"v2"}


async def test_a_cancelled_call_is_aborted_at_whichever_worker_has_it():
    async with fleet() as one:
        for worker in one.workers:
            worker.gate.clear()
        call = asyncio.ensure_future(one.propose())
        await eventually(lambda: any(worker.asked for worker in one.workers))
        asked = {request for worker in one.workers for request in worker.asked}
        call.cancel()
        await eventually(lambda: all(worker.aborted >= asked for worker in one.workers))
        for worker in one.workers:
            worker.gate.set()


async def test_a_worker_that_came_back_with_other_weights_is_found_out_and_given_the_right_ones():
    async with fleet() as one:
        one.workers[0].version = "as-started"
        # Its two samples go to one worker each.
        with pytest.raises(Unavailable, match="as-started"):
            await one.propose()
        await eventually(lambda: one.workers[0].version == "v1")
        await one.served("v1")
        assert labels([await one.propose() for _ in range(4)]) == {"v1"}
        assert [worker.loaded for worker in one.workers] == [["v1", "v1"], ["v1"]]

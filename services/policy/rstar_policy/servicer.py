"""PolicyService: validate, admit, propose, translate. No model code here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rstar.v1 import policy_pb2, policy_pb2_grpc
from rstar_common.errors import DeadlineExceeded, Overloaded, Unavailable
from rstar_common.rpc import remaining_seconds, serving
from rstar_policy import metrics
from rstar_policy.engine import Engine, Proposal, Query
from rstar_policy.solution import solution
from rstar_policy.wire import (
    info_message,
    query_of,
    response_of,
    solution_message,
    solution_query_of,
)

if TYPE_CHECKING:
    from rstar_common.rpc import ServicerContext

RETRY_AFTER_SECONDS = 0.25
"""Hint to a refused caller: about the time one step takes."""


class PolicyServicer(policy_pb2_grpc.PolicyServiceServicer):
    """Serves one engine to many searchers."""

    def __init__(
        self, engine: Engine, *, max_inflight: int, timeout_seconds: float, max_step_tokens: int
    ) -> None:
        """Bounds: `max_inflight` sequences at once, `timeout_seconds` a step."""
        self._engine = engine
        self._max_inflight = max_inflight
        self._timeout_seconds = timeout_seconds
        self._max_step_tokens = max_step_tokens
        self._inflight = 0

    async def Propose(
        self, request: policy_pb2.ProposeRequest, context: ServicerContext
    ) -> policy_pb2.ProposeResponse:
        """See policy.proto."""
        async with serving(context, "Propose"):
            started = time.perf_counter()
            query = query_of(request, max_step_tokens=self._max_step_tokens)
            with self._admitted(query.num_candidates):
                proposal = await self._propose(query, context)
            metrics.count(proposal)
            return response_of(proposal, wall_seconds=time.perf_counter() - started)
        raise AssertionError("unreachable: abort raises")

    async def Complete(
        self, request: policy_pb2.CompleteRequest, context: ServicerContext
    ) -> policy_pb2.CompleteResponse:
        """See policy.proto."""
        async with serving(context, "Complete"):
            started = time.perf_counter()
            query, max_steps = solution_query_of(request, max_step_tokens=self._max_step_tokens)
            with self._admitted(query.num_candidates):
                steps = await solution(
                    lambda step: self._propose(step, context), query, max_steps=max_steps
                )
            metrics.count(steps)
            return solution_message(steps, wall_seconds=time.perf_counter() - started)
        raise AssertionError("unreachable: abort raises")

    async def GetPolicyInfo(
        self, request: policy_pb2.GetPolicyInfoRequest, context: ServicerContext
    ) -> policy_pb2.GetPolicyInfoResponse:
        """See policy.proto."""
        async with serving(context, "GetPolicyInfo"):
            return info_message(self._engine.info())
        raise AssertionError("unreachable: abort raises")

    async def _propose(self, query: Query, context: ServicerContext) -> Proposal:
        seconds = remaining_seconds(context, at_most=self._timeout_seconds)
        try:
            async with asyncio.timeout(seconds):
                return await self._engine.propose(query)
        except TimeoutError as error:
            if seconds < self._timeout_seconds:
                raise DeadlineExceeded("the deadline passed while generating") from error
            raise Unavailable(f"the engine did not answer in {seconds:g} s") from error

    @contextmanager
    def _admitted(self, sequences: int) -> Generator[None]:
        # Refuse rather than queue: the engine batches what it holds, and a caller that is
        # told "full" can back off or try another replica.
        if self._inflight + sequences > self._max_inflight:
            raise Overloaded(
                f"{self._inflight} of {self._max_inflight} sequences in flight",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self._inflight += sequences
        metrics.SEQUENCES_INFLIGHT.set(self._inflight)
        try:
            yield
        finally:
            self._inflight -= sequences
            metrics.SEQUENCES_INFLIGHT.set(self._inflight)

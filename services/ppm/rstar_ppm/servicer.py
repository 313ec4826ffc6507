"""The gRPC face of the PPM: checks a call, turns steps into tokens, admits or refuses.

Protobuf messages end here. The service knows questions and steps, never trees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from rstar.v1 import ppm_pb2, ppm_pb2_grpc, types_pb2
from rstar_common.errors import DeadlineExceeded, InvalidInput, Overloaded
from rstar_common.formats import Encoder, PromptStep, StepKind
from rstar_common.rpc import remaining_seconds, serving
from rstar_ppm.batching import Batcher
from rstar_ppm.layout import ScoringCall
from rstar_ppm.versions import ServedVersion, Versions

if TYPE_CHECKING:
    ServicerContext = grpc.aio.ServicerContext[Any, Any]

MAX_SIBLINGS = 64
"""As the wire promises."""

_KINDS = {
    types_pb2.STEP_KIND_CODE: StepKind.CODE,
    types_pb2.STEP_KIND_FINAL_CODE: StepKind.FINAL_CODE,
    types_pb2.STEP_KIND_ANSWER: StepKind.ANSWER,
}


class PpmServicer(ppm_pb2_grpc.PpmServiceServicer):
    """Serves `rstar.v1.PpmService`."""

    def __init__(
        self,
        versions: Versions,
        batcher: Batcher,
        *,
        max_inflight: int,
        max_wait_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._versions = versions
        self._batcher = batcher
        self._max_inflight = max_inflight
        self._max_wait_seconds = max_wait_seconds
        self._timeout_seconds = timeout_seconds
        self._inflight = 0

    async def Score(
        self, request: ppm_pb2.ScoreRequest, context: ServicerContext
    ) -> ppm_pb2.ScoreResponse:
        """Score every sibling."""
        async with serving(context, "Score"):
            seconds = remaining_seconds(context, at_most=self._timeout_seconds)
            _validate(request)
            served = self._versions.find(request.ppm_version)
            with self._admitted():
                call = _encode(served, request)
                try:
                    async with asyncio.timeout(seconds):
                        result = await self._batcher.score(served.model, call)
                except TimeoutError as error:
                    raise DeadlineExceeded("scoring did not end in time") from error
            return ppm_pb2.ScoreResponse(
                scores=result.scores,
                ppm_version=served.version,
                computed_tokens=result.computed_tokens,
            )
        raise AssertionError("unreachable: abort raises")

    async def GetPpmInfo(
        self, request: ppm_pb2.GetPpmInfoRequest, context: ServicerContext
    ) -> ppm_pb2.GetPpmInfoResponse:
        """What is loaded."""
        async with serving(context, "GetPpmInfo"):
            current = self._versions.current
            return ppm_pb2.GetPpmInfoResponse(
                ppm_version=current.version if current else "",
                served_versions=self._versions.names,
                tokenizer=current.encoder.tokenizer_hash if current else "",
                backend="torch",
            )
        raise AssertionError("unreachable: abort raises")

    @contextmanager
    def _admitted(self) -> Generator[None]:
        # Refuse rather than queue: a caller that is told "full" can try another replica.
        if self._inflight >= self._max_inflight:
            raise Overloaded(f"{self._inflight} calls in flight", retry_after_seconds=0.1)
        wait = self._batcher.wait_seconds
        if wait > self._max_wait_seconds:
            raise Overloaded(
                f"{self._inflight} calls in flight are {wait:.1f} s of work",
                retry_after_seconds=max(0.1, wait - self._max_wait_seconds),
            )
        self._inflight += 1
        try:
            yield
        finally:
            self._inflight -= 1


def _validate(request: ppm_pb2.ScoreRequest) -> None:
    if not request.question:
        raise InvalidInput("is empty", field="question")
    if not 1 <= len(request.siblings) <= MAX_SIBLINGS:
        raise InvalidInput(f"must be 1 to {MAX_SIBLINGS}", field="siblings")


def _encode(served: ServedVersion, request: ppm_pb2.ScoreRequest) -> ScoringCall:
    encoder = served.encoder
    call = ScoringCall.of(
        [
            encoder.encode(encoder.format.question_pieces(request.question)),
            *_segments(encoder, request.path, field="path"),
        ],
        _segments(encoder, request.siblings, field="siblings"),
    )
    if call.longest > served.model.max_length:
        raise InvalidInput(
            f"{call.longest} tokens; this ppm takes {served.model.max_length}", field="path"
        )
    if call.largest_id >= served.model.vocabulary_size:
        # Ids come from the caller; a wrong one must not fail the whole batch.
        raise InvalidInput(f"{call.largest_id} is no token of this ppm", field="token_ids")
    return call


def _segments(encoder: Encoder, steps: Sequence[types_pb2.Step], *, field: str) -> list[list[int]]:
    """Token ids of each step and of what the system writes after it, as `prompt_ids` joins them."""
    segments = []
    for index, step in enumerate(steps):
        kind = _KINDS.get(step.kind)
        if kind is None:
            raise InvalidInput("is missing", field=f"{field}[{index}].kind")
        prompt_step = PromptStep(
            text=step.text,
            kind=kind,
            output=step.output,
            token_ids=tuple(step.token_ids),
            tokenizer=step.tokenizer,
        )
        segments.append(
            encoder.step_ids(prompt_step) + encoder.encode(encoder.format.after_step(prompt_step))
        )
    return segments

"""SandboxService on the wire: requests checked, translated, answered. Protobuf ends here.

what the code did                     data in the response
a limit above its ceiling             INVALID_ARGUMENT
every sandbox full                    RESOURCE_EXHAUSTED with a retry hint
the caller's deadline passed          DEADLINE_EXCEEDED
the service is stopping               UNAVAILABLE
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import duration_pb2

from rstar.v1 import sandbox_pb2, sandbox_pb2_grpc, types_pb2
from rstar_common.errors import InvalidInput
from rstar_common.rpc import remaining_seconds, serving
from rstar_sandbox.judge import Pair
from rstar_sandbox.judging import AnswerKind, Judgement, Verdict
from rstar_sandbox.limits import RunLimits, resolve, to_message
from rstar_sandbox.outcomes import LimitHit, RunOutcome
from rstar_sandbox.pool import Order

if TYPE_CHECKING:
    import grpc

    from rstar_sandbox.judge import Judge
    from rstar_sandbox.pool import Pool
    from rstar_sandbox.settings import SandboxSettings

MAX_SIBLINGS = 64
MAX_PATH = 64
MAX_CODE_BYTES = 2**16
MAX_SESSION_CHARACTERS = 512
MAX_PAIRS = 1024
MAX_PAIR_CHARACTERS = 2**21

CALL_SECONDS = 300.0
"""Longest a call may take, whatever the caller allows."""

KINDS = {
    types_pb2.ANSWER_KIND_UNSPECIFIED: AnswerKind.EXACT,
    types_pb2.ANSWER_KIND_EXACT: AnswerKind.EXACT,
    types_pb2.ANSWER_KIND_NUMBER: AnswerKind.NUMBER,
    types_pb2.ANSWER_KIND_CHOICE: AnswerKind.CHOICE,
    types_pb2.ANSWER_KIND_TEXT: AnswerKind.TEXT,
    types_pb2.ANSWER_KIND_LATEX: AnswerKind.LATEX,
}
VERDICTS = {
    Verdict.EQUAL: types_pb2.VERDICT_EQUAL,
    Verdict.UNEQUAL: types_pb2.VERDICT_UNEQUAL,
    Verdict.UNDECIDED: types_pb2.VERDICT_UNDECIDED,
}
LIMITS = {
    LimitHit.NONE: types_pb2.LIMIT_KIND_UNSPECIFIED,
    LimitHit.WALL: types_pb2.LIMIT_KIND_WALL,
    LimitHit.CPU: types_pb2.LIMIT_KIND_CPU,
    LimitHit.MEMORY: types_pb2.LIMIT_KIND_MEMORY,
    LimitHit.OUTPUT: types_pb2.LIMIT_KIND_OUTPUT,
}


class SandboxServicer(sandbox_pb2_grpc.SandboxServiceServicer):
    """Answers calls from the pool."""

    def __init__(self, settings: SandboxSettings, pool: Pool, judge: Judge) -> None:
        self._settings = settings
        self._pool = pool
        self._judge = judge

    async def Execute(
        self,
        request: sandbox_pb2.ExecuteRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> sandbox_pb2.ExecuteResponse:
        async with serving(context, "Execute"):
            timeout = remaining_seconds(context, at_most=CALL_SECONDS)
            report = await self._pool.execute(self._order(request), timeout_seconds=timeout)
            return sandbox_pb2.ExecuteResponse(
                outcomes=[outcome_to_proto(outcome) for outcome in report.outcomes],
                sandbox_version=self._pool.version,
                cpu_seconds=report.cpu_seconds,
                path_failed=report.path_failed,
            )
        raise AssertionError("unreachable: abort raises")

    async def Judge(
        self,
        request: sandbox_pb2.JudgeRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> sandbox_pb2.JudgeResponse:
        async with serving(context, "Judge"):
            timeout = remaining_seconds(context, at_most=CALL_SECONDS)
            _check_pairs(request)
            judgements = await self._judge.judge_all(
                [
                    Pair(pair.answer, pair.reference, KINDS[pair.kind], pair.question)
                    for pair in request.pairs
                ],
                timeout_seconds=timeout,
            )
            return sandbox_pb2.JudgeResponse(
                judgements=[judgement_to_proto(judgement) for judgement in judgements]
            )
        raise AssertionError("unreachable: abort raises")

    async def GetSandboxInfo(
        self,
        request: sandbox_pb2.GetSandboxInfoRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> sandbox_pb2.GetSandboxInfoResponse:
        async with serving(context, "GetSandboxInfo"):
            return sandbox_pb2.GetSandboxInfoResponse(
                sandbox_version=self._pool.version,
                platform=self._pool.platform,
                slots=self._pool.slots,
                busy_slots=self._pool.busy_slots,
                runsc=self._pool.runsc_version,
            )
        raise AssertionError("unreachable: abort raises")

    def _order(self, request: sandbox_pb2.ExecuteRequest) -> Order:
        if len(request.session) > MAX_SESSION_CHARACTERS:
            raise InvalidInput(f"over {MAX_SESSION_CHARACTERS} characters", field="session")
        if len(request.path) > MAX_PATH:
            raise InvalidInput(f"over {MAX_PATH} steps", field="path")
        if not 1 <= len(request.siblings) <= MAX_SIBLINGS:
            raise InvalidInput(f"must be 1 to {MAX_SIBLINGS}", field="siblings")
        for field, codes in (("path", request.path), ("siblings", request.siblings)):
            for index, code in enumerate(codes):
                if len(code.encode()) > MAX_CODE_BYTES:
                    raise InvalidInput(f"over {MAX_CODE_BYTES} bytes", field=f"{field}[{index}]")
        limits = resolve(
            limits_from_proto(request.limits), self._settings.limits, self._settings.ceilings
        )
        return Order(
            session=request.session,
            path=tuple(request.path),
            siblings=tuple(request.siblings),
            limits=to_message(limits),
            seed=request.seed,
        )


def _check_pairs(request: sandbox_pb2.JudgeRequest) -> None:
    if not 1 <= len(request.pairs) <= MAX_PAIRS:
        raise InvalidInput(f"must be 1 to {MAX_PAIRS}", field="pairs")
    for index, pair in enumerate(request.pairs):
        if pair.kind not in KINDS:
            raise InvalidInput("unknown kind", field=f"pairs[{index}].kind")
        if max(len(pair.answer), len(pair.reference), len(pair.question)) > MAX_PAIR_CHARACTERS:
            raise InvalidInput(f"over {MAX_PAIR_CHARACTERS} characters", field=f"pairs[{index}]")


def limits_from_proto(limits: sandbox_pb2.ExecutionLimits) -> RunLimits:
    """Unset means None; zero counts as unset where the wire cannot tell."""
    return RunLimits(
        wall_seconds=_seconds(limits.wall) if limits.HasField("wall") else None,
        cpu_seconds=_seconds(limits.cpu) if limits.HasField("cpu") else None,
        memory_bytes=limits.memory_bytes or None,
        processes=limits.processes or None,
        file_bytes=limits.file_bytes or None,
        open_files=limits.open_files or None,
        output_bytes=limits.output_bytes or None,
    )


def _seconds(duration: duration_pb2.Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def outcome_to_proto(outcome: RunOutcome) -> types_pb2.ExecutionOutcome:
    """An outcome as the wire has it."""
    exception = None
    if outcome.exception:
        exception = types_pb2.RaisedException(
            type=outcome.exception.type,
            message=outcome.exception.message,
            line=outcome.exception.line,
        )
    return types_pb2.ExecutionOutcome(
        stdout=outcome.stdout,
        stdout_truncated=outcome.truncated,
        exception=exception,
        limit=LIMITS[outcome.limit],
        wall_seconds=outcome.wall_seconds,
        cpu_seconds=outcome.cpu_seconds,
    )


def judgement_to_proto(judgement: Judgement) -> sandbox_pb2.Judgement:
    """A judgement as the wire has it."""
    return sandbox_pb2.Judgement(verdict=VERDICTS[judgement.verdict], reason=judgement.reason)

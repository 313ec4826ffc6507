"""Judge every answer of a run, once each, after its last search has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rstar.v1 import sandbox_pb2, sandbox_pb2_grpc, types_pb2
from rstar_cli.connection import Endpoints
from rstar_cli.evaluation.record import Record
from rstar_cli.evaluation.run_directory import Answered, RunDirectory
from rstar_cli.grading import UNDECIDED, VERDICTS
from rstar_cli.problems import FileProblem
from rstar_common.rpc import call

_PAIRS_A_CALL = 32
_CALL_SECONDS = 120.0


async def judge(
    where: Endpoints,
    run: RunDirectory,
    records: Sequence[Record],
    problems: Sequence[FileProblem],
    references: Mapping[str, str],
) -> dict[Answered, str]:
    """The verdict on each answer of `records`; those known from an earlier start are kept.

    Raises:
        RstarError: the sandbox cannot judge.
    """
    by_id = {problem.problem_id: problem for problem in problems}
    known = run.verdicts()
    asked = {
        (record.problem_id, answer): None
        for record in records
        if record.problem_id in references
        for answer in record.answers
        if (record.problem_id, answer) not in known
    }
    pairs = list(asked)
    async with where.dial("sandbox") as wire:
        stub = sandbox_pb2_grpc.SandboxServiceStub(wire)
        for start in range(0, len(pairs), _PAIRS_A_CALL):
            part = pairs[start : start + _PAIRS_A_CALL]
            request = sandbox_pb2.JudgeRequest(
                pairs=[
                    sandbox_pb2.AnswerPair(
                        answer=answer,
                        reference=references[problem_id],
                        kind=by_id[problem_id].answer_kind or types_pb2.ANSWER_KIND_EXACT,
                        question=by_id[problem_id].question,
                    )
                    for problem_id, answer in part
                ]
            )
            reply = await call(stub.Judge(request, timeout=_CALL_SECONDS, wait_for_ready=True))
            for key, judgement in zip(part, reply.judgements, strict=True):
                known[key] = VERDICTS.get(judgement.verdict, UNDECIDED)
                run.add_verdict(key, known[key])
    return known

"""Grade finished results against references that never left this machine's file.

The sandbox compares; undecided is a verdict of its own and never counted as wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import sandbox_pb2, sandbox_pb2_grpc, searcher_pb2, tree_pb2, types_pb2
from rstar_cli.connection import Endpoints
from rstar_cli.problems import FileProblem
from rstar_common.rpc import call

_PAIRS_A_CALL = 32
_CALL_SECONDS = 120.0

EQUAL, UNEQUAL, UNDECIDED, NO_ANSWER, NO_REFERENCE = (
    "equal",
    "unequal",
    "undecided",
    "no answer",
    "no reference",
)
VERDICTS = {
    types_pb2.VERDICT_EQUAL: EQUAL,
    types_pb2.VERDICT_UNEQUAL: UNEQUAL,
    types_pb2.VERDICT_UNDECIDED: UNDECIDED,
}


def rule_name(rule: types_pb2.AnswerSelection.ValueType) -> str:
    """Of a way to choose the answer: `best_ppm`, `majority`, `weighted_majority`."""
    if rule not in types_pb2.AnswerSelection.values():
        return f"rule_{rule}"  # of a later release
    return types_pb2.AnswerSelection.Name(rule).removeprefix("ANSWER_SELECTION_").lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """One graded result."""

    verdict: str
    """equal, unequal, undecided, no answer or no reference."""

    reference: str


async def grade(
    where: Endpoints,
    results: Sequence[searcher_pb2.BatchResult],
    problems: Iterable[FileProblem],
    references: Mapping[str, str],
) -> dict[str, Grade]:
    """Grade each result, by problem id. Raises `RstarError` if the sandbox cannot judge."""
    kinds = {problem.problem_id: problem.answer_kind for problem in problems}
    grades: dict[str, Grade] = {}
    asked: list[searcher_pb2.BatchResult] = []
    for result in results:
        reference = references.get(result.problem_id)
        if reference is None:
            grades[result.problem_id] = Grade(verdict=NO_REFERENCE, reference="")
        elif result.result.status != tree_pb2.SEARCH_STATUS_ANSWERED:
            grades[result.problem_id] = Grade(verdict=NO_ANSWER, reference=reference)
        else:
            asked.append(result)
    async with where.dial("sandbox") as wire:
        stub = sandbox_pb2_grpc.SandboxServiceStub(wire)
        for start in range(0, len(asked), _PAIRS_A_CALL):
            part = asked[start : start + _PAIRS_A_CALL]
            request = sandbox_pb2.JudgeRequest(
                pairs=[
                    sandbox_pb2.AnswerPair(
                        answer=result.result.answer,
                        reference=references[result.problem_id],
                        kind=kinds.get(result.problem_id, types_pb2.ANSWER_KIND_EXACT),
                        question=result.question,
                    )
                    for result in part
                ]
            )
            reply = await call(stub.Judge(request, timeout=_CALL_SECONDS, wait_for_ready=True))
            for result, judgement in zip(part, reply.judgements, strict=True):
                grades[result.problem_id] = Grade(
                    verdict=VERDICTS.get(judgement.verdict, UNDECIDED),
                    reference=references[result.problem_id],
                )
    return grades

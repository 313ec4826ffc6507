"""Protobuf to this service's nouns and back. Nothing beyond the servicer sees a message."""

from __future__ import annotations

from collections.abc import Sequence

from rstar.v1 import policy_pb2, types_pb2
from rstar_common.errors import InvalidInput
from rstar_common.formats import PromptStep, StepKind
from rstar_policy.engine import Candidate, EngineInfo, Proposal, Query, Usage

MAX_CANDIDATES = 64
"""As policy.proto says."""

MAX_QUESTION_CHARACTERS = 16_384
"""As types.proto says."""

MAX_PATH_STEPS = 256
"""Beyond any depth a search may ask for."""

DEFAULT_SOLUTION_STEPS = 32
"""As policy.proto says."""

MAX_TEMPERATURE = 2.0

_KINDS = {
    types_pb2.STEP_KIND_CODE: StepKind.CODE,
    types_pb2.STEP_KIND_FINAL_CODE: StepKind.FINAL_CODE,
    types_pb2.STEP_KIND_ANSWER: StepKind.ANSWER,
}
_WIRE_KINDS = {kind: number for number, kind in _KINDS.items()}


def query_of(request: policy_pb2.ProposeRequest, *, max_step_tokens: int) -> Query:
    """Validate a request.

    Raises:
        InvalidInput: naming the field at fault.
    """
    if not 1 <= request.num_candidates <= MAX_CANDIDATES:
        raise InvalidInput(f"must be 1 to {MAX_CANDIDATES}", field="num_candidates")
    # Written so that NaN fails too.
    if not 0 <= request.temperature <= MAX_TEMPERATURE:
        raise InvalidInput(f"must be 0 to {MAX_TEMPERATURE:g}", field="temperature")
    if not 0 <= request.top_p <= 1:
        raise InvalidInput("must be in (0, 1], or 0 for 1", field="top_p")
    if request.enough_candidates > MAX_CANDIDATES:
        raise InvalidInput(f"must be at most {MAX_CANDIDATES}", field="enough_candidates")
    return Query(
        question=_question_of(request.question),
        path=_path_of(request.path),
        num_candidates=request.num_candidates,
        temperature=request.temperature,
        top_p=request.top_p or 1.0,
        seed=request.seed,
        max_tokens=min(request.max_tokens or max_step_tokens, max_step_tokens),
        enough=request.enough_candidates,
    )


def solution_query_of(
    request: policy_pb2.CompleteRequest, *, max_step_tokens: int
) -> tuple[Query, int]:
    """Validate a request; the query of its first step, and how many steps may come of it.

    Raises:
        InvalidInput: naming the field at fault.
    """
    if request.max_steps > MAX_PATH_STEPS:
        raise InvalidInput(f"must be at most {MAX_PATH_STEPS}", field="max_steps")
    query = Query(
        question=_question_of(request.question),
        path=_path_of(request.path),
        num_candidates=1,
        temperature=0.0,
        top_p=1.0,
        seed=0,
        max_tokens=min(request.max_tokens or max_step_tokens, max_step_tokens),
    )
    return query, request.max_steps or DEFAULT_SOLUTION_STEPS


def _question_of(question: str) -> str:
    if not question.strip():
        raise InvalidInput("is empty", field="question")
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise InvalidInput(f"has more than {MAX_QUESTION_CHARACTERS} characters", field="question")
    return question


def _path_of(path: Sequence[types_pb2.Step]) -> tuple[PromptStep, ...]:
    if len(path) > MAX_PATH_STEPS:
        raise InvalidInput(f"has more than {MAX_PATH_STEPS} steps", field="path")
    return tuple(_step_of(step, index) for index, step in enumerate(path))


def _step_of(step: types_pb2.Step, index: int) -> PromptStep:
    kind = _KINDS.get(step.kind)
    if kind is None:
        raise InvalidInput("is not set", field=f"path[{index}].kind")
    return PromptStep(
        text=step.text,
        kind=kind,
        output=step.output,
        token_ids=tuple(step.token_ids),
        tokenizer=step.tokenizer,
    )


def response_of(proposal: Proposal, *, wall_seconds: float) -> policy_pb2.ProposeResponse:
    """A proposal and its cost."""
    return policy_pb2.ProposeResponse(
        candidates=[_candidate_message(candidate) for candidate in proposal.candidates],
        cost=_cost_message(proposal.usage, calls=1, wall_seconds=wall_seconds),
    )


def solution_message(solution: Proposal, *, wall_seconds: float) -> policy_pb2.CompleteResponse:
    """The steps of a solution, each of which was a call of the engine, and their cost."""
    calls = len(solution.candidates)
    return policy_pb2.CompleteResponse(
        steps=[_candidate_message(candidate) for candidate in solution.candidates],
        cost=_cost_message(solution.usage, calls=calls, wall_seconds=wall_seconds),
    )


def _cost_message(usage: Usage, *, calls: int, wall_seconds: float) -> types_pb2.Cost:
    return types_pb2.Cost(
        generated_tokens=usage.generated_tokens,
        prompt_tokens=usage.prompt_tokens,
        cached_prompt_tokens=usage.cached_prompt_tokens,
        policy_calls=calls,
        retries=usage.retries,
        wall_seconds=wall_seconds,
    )


def _candidate_message(candidate: Candidate) -> types_pb2.Candidate:
    return types_pb2.Candidate(
        step=types_pb2.Step(
            text=candidate.text,
            kind=(
                types_pb2.STEP_KIND_UNSPECIFIED
                if candidate.kind is None
                else _WIRE_KINDS[candidate.kind]
            ),
            token_ids=candidate.token_ids,
            tokenizer=candidate.tokenizer,
        ),
        answer=candidate.answer,
        output_is_answer=candidate.output_is_answer,
        token_logprobs=candidate.token_logprobs,
        seed=candidate.seed,
        policy_version=candidate.policy_version,
        complete=candidate.complete,
    )


def info_message(info: EngineInfo) -> policy_pb2.GetPolicyInfoResponse:
    """What is loaded."""
    return policy_pb2.GetPolicyInfoResponse(
        policy_version=info.policy_version,
        tokenizer=info.tokenizer,
        prompt_format=info.prompt_format,
        engine=info.engine,
        max_context_tokens=info.max_context_tokens,
    )

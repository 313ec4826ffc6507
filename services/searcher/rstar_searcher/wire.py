"""The searcher's values to and from `rstar.v1`, both directions. Settings: `settings_wire`."""

from __future__ import annotations

from collections.abc import Sequence

from rstar.v1 import tree_pb2, types_pb2
from rstar_common.errors import InvalidInput
from rstar_common.streams import check_name
from rstar_searcher.driver import EndedBy
from rstar_searcher.expansion import MAX_ANSWER_CHARACTERS
from rstar_searcher.meter import Meter
from rstar_searcher.model import (
    Candidate,
    Dropped,
    Expanded,
    Outcome,
    Raised,
    StepKind,
    Verdict,
    packed_ids,
    packed_logprobs,
)
from rstar_searcher.services import Problem
from rstar_searcher.tree import Terminal

MAX_QUESTION_CHARACTERS = 16_384
MAX_LABELS = 16
MAX_OUTPUT = 8 * 1024
"""Characters kept of what a step prints: prompts show 400, an answer has 4,096 at most. The outputs
of a path are kept with its result, in one message."""

STEP_KINDS = {
    StepKind.CODE: types_pb2.STEP_KIND_CODE,
    StepKind.FINAL_CODE: types_pb2.STEP_KIND_FINAL_CODE,
    StepKind.ANSWER: types_pb2.STEP_KIND_ANSWER,
}
_STEP_KIND_FROM = {wire: kind for kind, wire in STEP_KINDS.items()}
VERDICTS = {
    Verdict.EQUAL: types_pb2.VERDICT_EQUAL,
    Verdict.UNEQUAL: types_pb2.VERDICT_UNEQUAL,
    Verdict.UNDECIDED: types_pb2.VERDICT_UNDECIDED,
}
VERDICT_FROM = {wire: verdict for verdict, wire in VERDICTS.items()}
TERMINALS = {
    Terminal.ANSWER: tree_pb2.TERMINAL_ANSWER,
    Terminal.NO_VALID_CANDIDATE: tree_pb2.TERMINAL_NO_VALID_CANDIDATE,
    Terminal.LIMIT: tree_pb2.TERMINAL_LIMIT,
}
ENDINGS = {
    EndedBy.ROLLOUTS: tree_pb2.ENDED_BY_ROLLOUTS,
    EndedBy.GENERATED_TOKENS: tree_pb2.ENDED_BY_GENERATED_TOKENS,
    EndedBy.SANDBOX_SECONDS: tree_pb2.ENDED_BY_SANDBOX_SECONDS,
    EndedBy.WALL_TIME: tree_pb2.ENDED_BY_WALL_TIME,
    EndedBy.EXHAUSTED: tree_pb2.ENDED_BY_EXHAUSTED,
    EndedBy.SOLVED: tree_pb2.ENDED_BY_SOLVED,
    EndedBy.CANCEL: tree_pb2.ENDED_BY_CANCEL,
}


def problem_from(wire: types_pb2.Problem, *, field: str, id_required: bool = False) -> Problem:
    """Read and check a problem.

    Raises:
        InvalidInput: naming what is wrong, as `FIELD.question` and so on.
    """
    if id_required or wire.problem_id:
        check_name(wire.problem_id, field=f"{field}.problem_id")
    if not wire.question.strip():
        raise InvalidInput("must not be empty", field=f"{field}.question")
    if len(wire.question) > MAX_QUESTION_CHARACTERS:
        raise InvalidInput(
            f"has {len(wire.question)} characters; at most {MAX_QUESTION_CHARACTERS}",
            field=f"{field}.question",
        )
    if wire.answer_kind not in types_pb2.AnswerKind.values():
        raise InvalidInput(f"unknown kind {wire.answer_kind}", field=f"{field}.answer_kind")
    if len(wire.reference) > MAX_ANSWER_CHARACTERS:
        raise InvalidInput("too long", field=f"{field}.reference")
    if len(wire.labels) > MAX_LABELS or any(len(k) + len(v) > 512 for k, v in wire.labels.items()):
        raise InvalidInput("too many or too long", field=f"{field}.labels")
    return Problem(
        question=wire.question,
        problem_id=wire.problem_id,
        answer_kind=wire.answer_kind,
        reference=wire.reference if wire.HasField("reference") else None,
        labels=tuple(sorted(wire.labels.items())),
    )


def problem_to(problem: Problem) -> types_pb2.Problem:
    """As in trees."""
    return types_pb2.Problem(
        problem_id=problem.problem_id,
        question=problem.question,
        answer_kind=types_pb2.AnswerKind.ValueType(problem.answer_kind),
        reference=problem.reference,
        labels=dict(problem.labels),
    )


def candidate_from(wire: types_pb2.Candidate) -> Candidate:
    """A candidate of the policy."""
    return Candidate(
        text=wire.step.text,
        kind=_STEP_KIND_FROM.get(wire.step.kind, StepKind.CODE),
        token_ids=packed_ids(wire.step.token_ids),
        tokenizer=wire.step.tokenizer,
        token_logprobs=packed_logprobs(wire.token_logprobs),
        seed=wire.seed,
        policy_version=wire.policy_version,
        answer=wire.answer if wire.HasField("answer") else None,
        output_is_answer=wire.output_is_answer,
        complete=wire.complete,
    )


def step_to(candidate: Candidate, output: str, *, ids: bool = True) -> types_pb2.Step:
    """A step of a path, with what it printed."""
    return types_pb2.Step(
        text=candidate.text,
        kind=STEP_KINDS[candidate.kind],
        token_ids=candidate.token_ids if ids else (),
        tokenizer=candidate.tokenizer if ids else "",
        output=output,
    )


def path_to(path: Sequence[Expanded], *, ids: bool = True) -> list[types_pb2.Step]:
    """The steps of a path, root first."""
    return [
        step_to(step.candidate, step.outcome.stdout if step.outcome else "", ids=ids)
        for step in path
    ]


def candidate_to(candidate: Candidate, output: str, *, full: bool = True) -> types_pb2.Candidate:
    """A candidate as in trees; without `full`, as in live events."""
    return types_pb2.Candidate(
        step=step_to(candidate, output, ids=full),
        answer=candidate.answer,
        output_is_answer=candidate.output_is_answer,
        token_logprobs=candidate.token_logprobs if full else (),
        seed=candidate.seed,
        policy_version=candidate.policy_version,
        complete=candidate.complete,
    )


def outcome_from(wire: types_pb2.ExecutionOutcome) -> Outcome:
    """What the sandbox says of a run."""
    raised = None
    if wire.HasField("exception"):
        raised = Raised(
            type=wire.exception.type, message=wire.exception.message, line=wire.exception.line
        )
    return Outcome(
        stdout=wire.stdout[:MAX_OUTPUT],
        truncated=wire.stdout_truncated or len(wire.stdout) > MAX_OUTPUT,
        raised=raised,
        limit=wire.limit,
        wall_seconds=wire.wall_seconds,
        cpu_seconds=wire.cpu_seconds,
    )


def outcome_to(outcome: Outcome) -> types_pb2.ExecutionOutcome:
    """The same, as in trees."""
    wire = types_pb2.ExecutionOutcome(
        stdout=outcome.stdout,
        stdout_truncated=outcome.truncated,
        limit=types_pb2.LimitKind.ValueType(outcome.limit),
        wall_seconds=outcome.wall_seconds,
        cpu_seconds=outcome.cpu_seconds,
    )
    if outcome.raised:
        wire.exception.CopyFrom(
            types_pb2.RaisedException(
                type=outcome.raised.type,
                message=outcome.raised.message,
                line=outcome.raised.line,
            )
        )
    return wire


def dropped_to(parent: int, dropped: Dropped) -> tree_pb2.DroppedCandidate:
    """A candidate that did not become a node."""
    outcome = dropped.outcome
    return tree_pb2.DroppedCandidate(
        parent=parent,
        candidate=candidate_to(dropped.candidate, outcome.stdout if outcome else ""),
        execution=outcome_to(outcome) if outcome else None,
    )


def step_node_to(step: Expanded, *, stdout: str, full: bool = True) -> tree_pb2.Node:
    """The part of a node that is its step."""
    node = tree_pb2.Node(
        candidate=candidate_to(step.candidate, stdout, full=full),
        multiplicity=step.multiplicity,
        execution=outcome_to(step.outcome) if step.outcome else None,
        ppm_score=step.ppm_score,
        answer=step.answer or "",
        versions=versions_to(step),
    )
    if step.verdict:
        node.verdict = VERDICTS[step.verdict]
    return node


def versions_to(step: Expanded) -> types_pb2.Versions:
    """What made a step."""
    return types_pb2.Versions(
        policy=step.candidate.policy_version,
        ppm=step.ppm_version,
        sandbox=step.sandbox_version,
    )


def cost_to(meter: Meter) -> types_pb2.Cost:
    """What a search has cost so far."""
    return types_pb2.Cost(**{name: getattr(meter, name) for name in Meter.__dataclass_fields__})

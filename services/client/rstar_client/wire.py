"""Between the values callers hold and the messages on the wire."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC
from typing import cast

from google.protobuf.descriptor import EnumDescriptor

from rstar.v1 import searcher_pb2, tree_pb2, types_pb2
from rstar_client.errors import InvalidInput
from rstar_client.values import (
    Batch,
    BatchResult,
    Cost,
    Event,
    Expanded,
    Finished,
    Problem,
    Result,
    RolloutEnded,
    SearchState,
    Settings,
    Started,
    Step,
    Trajectory,
)

_ENUMS = {
    "strategy": (types_pb2.Strategy.DESCRIPTOR, "STRATEGY_"),
    "answer_selection": (types_pb2.AnswerSelection.DESCRIPTOR, "ANSWER_SELECTION_"),
}
_BUDGETS = ("max_generated_tokens", "max_sandbox_seconds", "max_wall_seconds")


def settings_to(settings: Settings) -> types_pb2.SearchSettings:
    """As sent.

    Raises:
        InvalidInput: a name is none of the proto's.
    """
    message = types_pb2.SearchSettings()
    for name in (f.name for f in fields(settings) if f.name not in _BUDGETS):
        value = getattr(settings, name)
        if value is None:
            continue
        if name in _ENUMS:
            enum, prefix = _ENUMS[name]
            value = _number(enum, prefix, value, field=f"settings.{name}")
        setattr(message, name, value)
    budget = message.budget
    if settings.max_generated_tokens is not None:
        budget.max_generated_tokens = settings.max_generated_tokens
    if settings.max_sandbox_seconds is not None:
        budget.max_sandbox_seconds = settings.max_sandbox_seconds
    if settings.max_wall_seconds is not None:
        budget.max_wall_time.FromMilliseconds(int(settings.max_wall_seconds * 1000))
    return message


def problem_to(problem: Problem) -> types_pb2.Problem:
    """As sent."""
    kinds = types_pb2.AnswerKind.DESCRIPTOR
    kind = _number(kinds, "ANSWER_KIND_", problem.answer_kind, field="problem.answer_kind")
    return types_pb2.Problem(
        problem_id=problem.problem_id,
        question=problem.question,
        answer_kind=cast("types_pb2.AnswerKind.ValueType", kind),
        labels=problem.labels,
    )


def _number(enum: EnumDescriptor, prefix: str, name: str, *, field: str) -> int:
    known = {value.name.removeprefix(prefix).lower(): value.number for value in enum.values}
    if not known.get(name):
        names = ", ".join(known_name for known_name, number in known.items() if number)
        raise InvalidInput(f"{name!r} is none of {names}", field=field)
    return known[name]


def result_from(message: tree_pb2.SearchResult) -> Result:
    """As read."""
    return Result(
        search_id=message.search_id,
        problem_id=message.problem_id,
        status=_name(tree_pb2.SearchStatus.Name(message.status), "SEARCH_STATUS_"),
        ended_by=_name(tree_pb2.EndedBy.Name(message.ended_by), "ENDED_BY_"),
        answer=message.answer,
        answer_score=message.answer_score,
        solution=tuple(Step(text=step.text, output=step.output) for step in message.solution),
        trajectories=tuple(
            Trajectory(
                answer=found.answer,
                ppm_score=found.ppm_score if found.HasField("ppm_score") else None,
                mean_q=found.mean_q,
            )
            for found in message.trajectories
        ),
        choices={
            _name(types_pb2.AnswerSelection.Name(choice.rule), "ANSWER_SELECTION_"): choice.answer
            for choice in message.choices
            if choice.rule in types_pb2.AnswerSelection.values()
        },
        cost=cost_from(message.cost),
        versions={
            "policy": message.versions.policy,
            "ppm": message.versions.ppm,
            "sandbox": message.versions.sandbox,
        },
    )


def cost_from(message: types_pb2.Cost) -> Cost:
    """As read."""
    return Cost(**{field.name: getattr(message, field.name) for field in fields(Cost)})


def event_from(message: searcher_pb2.SearchEvent) -> Event | None:
    """As read; None for a kind this client does not know yet."""
    search_id, sequence, cost = message.search_id, message.sequence, cost_from(message.cost)
    match message.WhichOneof("event"):
        case "started":
            return Started(search_id=search_id, sequence=sequence, cost=cost)
        case "expansion":
            return Expanded(
                search_id=search_id,
                sequence=sequence,
                cost=cost,
                parent=message.expansion.parent,
                children=len(message.expansion.children),
                dropped=message.expansion.dropped,
            )
        case "rollout_ended":
            ended = message.rollout_ended
            return RolloutEnded(
                search_id=search_id,
                sequence=sequence,
                cost=cost,
                rollouts_done=ended.rollouts_done,
                rollouts_total=ended.rollouts_total,
                answer=ended.answer,
                best_answer=ended.best_answer,
                best_score=ended.best_score,
            )
        case "finished":
            result = result_from(message.finished.result)
            return Finished(search_id=search_id, sequence=sequence, cost=cost, result=result)
        case _:
            return None


def state_from(message: searcher_pb2.GetSearchResponse) -> SearchState:
    """As read."""
    return SearchState(
        search_id=message.search_id,
        status=_name(tree_pb2.SearchStatus.Name(message.status), "SEARCH_STATUS_"),
        result=result_from(message.result) if message.HasField("result") else None,
    )


def batch_from(message: searcher_pb2.Batch) -> Batch:
    """As read."""
    return Batch(
        batch_id=message.batch_id,
        state=_name(searcher_pb2.BatchState.Name(message.state), "BATCH_STATE_"),
        total=message.total,
        done=message.done,
        dead=message.dead,
    )


def batch_result_from(message: searcher_pb2.BatchResult) -> BatchResult:
    """As read."""
    return BatchResult(
        problem_id=message.problem_id,
        question=message.question,
        labels=dict(message.labels),
        result=result_from(message.result),
        finished_at=message.finished_at.ToDatetime(UTC),
    )


def _name(constant: str, prefix: str) -> str:
    return constant.removeprefix(prefix).lower()

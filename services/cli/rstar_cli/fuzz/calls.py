"""Every method of every service, called wrongly in every way, many calls at once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor

from rstar.v1 import evolution_pb2, policy_pb2, ppm_pb2, sandbox_pb2, searcher_pb2, trainer_pb2
from rstar_cli.fuzz.callers import Callers, Shown
from rstar_cli.fuzz.messages import broken_bytes, random_message

CALL_SECONDS = 60.0
"""A refusal is a matter of milliseconds; this finds calls that hang."""

WORK_SECONDS = 0.5
"""How long a call that is let in may work on nonsense before its caller leaves."""

READABLE = frozenset({grpc.StatusCode.INVALID_ARGUMENT})
BUGS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})
"""What no input may bring about."""

UNEXPECTED_KEPT = 20

TIERS: Mapping[str, str] = {
    "PolicyService": "policy",
    "PpmService": "ppm",
    "SandboxService": "sandbox",
    "SearcherService": "searcher",
    "BatchService": "searcher",
    "TrainerService": "trainer",
    "EvolutionService": "trainer",
}
"""Which tier serves a service."""

_FILES = (evolution_pb2, policy_pb2, ppm_pb2, sandbox_pb2, searcher_pb2, trainer_pb2)


@dataclass(slots=True)
class Findings:
    """What came of the calls so far."""

    inputs: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    unexpected_count: int = 0

    def note(self, kind: str, answer: str, complaint: str = "") -> None:
        """Count an input and its answer; `complaint` says what is wrong with that."""
        self.inputs[kind] += 1
        self.answers[f"{kind}: {answer}"] += 1
        if complaint:
            self.unexpected_count += 1
            if len(self.unexpected) < UNEXPECTED_KEPT:
                self.unexpected.append(complaint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One wrong call."""

    method: MethodDescriptor
    shown: Shown
    payload: bytes

    @property
    def path(self) -> str:
        """As gRPC names it."""
        return f"{self.method.containing_service.full_name}/{self.method.name}"


def methods() -> list[MethodDescriptor]:
    """Every method that the project serves."""
    return [
        method
        for file in _FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


def wrong_calls(callers: Callers, rng: Random) -> Iterator[Call]:
    """Endless: the methods in turn, the kinds of wrong by chance."""
    for method in itertools.cycle(methods()):
        name = f"{method.containing_service.full_name}/{method.name}"
        chance = rng.random()
        if chance < 0.3:
            shown = callers.unauthenticated()
        elif chance < 0.55:
            shown = callers.wrongly_scoped(name)
        elif chance < 0.7:
            shown = callers.replayed()
        else:
            yield _let_in(method, callers.rightful(name), rng)
            continue
        payload = random_message(rng, method.input_type).SerializeToString()
        if rng.random() < 0.5:
            payload = broken_bytes(rng, method.input_type)
        yield Call(method=method, shown=shown, payload=payload)


def _let_in(method: MethodDescriptor, shown: Shown, rng: Random) -> Call:
    if rng.random() < 0.75:
        readable = Shown(
            kind="malformed",
            certificate=shown.certificate,
            authorization=shown.authorization,
            wanted=READABLE,
        )
        payload = broken_bytes(rng, method.input_type)
        return Call(method=method, shown=readable, payload=payload)
    payload = random_message(rng, method.input_type).SerializeToString()
    return Call(method=method, shown=shown, payload=payload)


class Wires:
    """Channels of both certificates to every tier."""

    def __init__(self, channels: Mapping[tuple[str, str], grpc.aio.Channel]) -> None:
        """`channels` by certificate and tier."""
        self._channels = channels

    async def answer(self, call: Call) -> grpc.StatusCode:
        """Make a call and hear it to its end, or to the first answer of a stream."""
        tier = TIERS[call.method.containing_service.name]
        # Without stubs the bytes go as they are, which the published types do not foresee.
        channel: Any = self._channels[call.shown.certificate, tier]
        metadata: tuple[tuple[str, str], ...] = ()
        if call.shown.authorization is not None:
            metadata = (("authorization", call.shown.authorization),)
        seconds = CALL_SECONDS if call.shown.wanted else WORK_SECONDS
        options: dict[str, Any] = {"metadata": metadata, "timeout": seconds}
        path = f"/{call.path}"
        try:
            if call.method.client_streaming:
                await channel.stream_unary(path)(_once(call.payload), **options)
            elif call.method.server_streaming:
                async for _ in channel.unary_stream(path)(call.payload, **options):
                    break
            else:
                await channel.unary_unary(path)(call.payload, **options)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


async def _once(payload: bytes) -> AsyncIterator[bytes]:
    yield payload


async def call_wrongly(
    wires: Wires, calls: Iterator[Call], findings: Findings, *, inputs: int, at_once: int
) -> None:
    """Make `inputs` calls, `at_once` at a time, and judge each answer."""
    left = itertools.islice(calls, inputs)

    async def work() -> None:
        for call in left:
            answer = await wires.answer(call)
            wanted = call.shown.wanted
            wrong = answer not in wanted if wanted else answer in BUGS
            complaint = f"{call.shown.kind} {call.path}: {answer.name}" if wrong else ""
            findings.note(
                call.shown.kind,
                answer.name,
                f"{complaint} on {call.shown.authorization!r:.80} {call.payload[:60].hex()}"
                if complaint
                else "",
            )

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())

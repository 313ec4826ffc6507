"""Every subject of NATS: published to by all who may not, with nonsense by those who may."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from random import Random

import nats
from nats.aio.client import Client

from rstar.v1 import events_pb2
from rstar_cli.fuzz.calls import Findings
from rstar_cli.fuzz.messages import broken_bytes, random_text
from rstar_cli.local.credentials import nats_of
from rstar_common import streams
from rstar_common.config import NatsSettings
from rstar_common.nats_roles import ROLES, Role, inbox

LAST = "nobody.may.publish.here"
QUEUES_SECONDS = 300.0
_API = (
    "STREAM.DELETE",
    "STREAM.UPDATE",
    "STREAM.PURGE",
    "STREAM.CREATE",
    "STREAM.MSG.DELETE",
    "STREAM.MSG.GET",
    "CONSUMER.CREATE",
    "STREAM.SNAPSHOT",
    "STREAM.INFO",
    "DIRECT.GET",
)
_CONTENT_TYPES = ("application/json", "application/x-protobuf", "text/plain", "", "\u00e4")


def subject(rng: Random) -> str:
    """A subject of the system with any names in it."""

    def name() -> str:
        return rng.choice(("a", "none", streams.token(str(rng.random())), "x" * rng.randint(1, 99)))

    match rng.randrange(5):
        case 0:
            pattern = rng.choice([s for stream in streams.STREAMS for s in stream.subjects])
        case 1:
            pattern = f"$KV.{rng.choice([kept.bucket for kept in streams.KEY_VALUES])}.*"
        case 2:
            names = [stream.name for stream in streams.STREAMS]
            names += [f"KV_{kept.bucket}" for kept in streams.KEY_VALUES]
            pattern = f"$JS.API.{rng.choice(_API)}.{rng.choice(names)}"
        case 3:
            pattern = f"{inbox(rng.choice(ROLES).user)}.*"
        case _:
            pattern = rng.choice(("$SYS.REQ.SERVER.PING", "$JS.ACK.RSTAR_WORK.searchers.*", "*.*"))
    return ".".join(name() if part == "*" else part for part in pattern.split("."))


def permits(role: Role, subject: str) -> bool:
    """Whether the role may publish to a subject."""
    return any(_matches(pattern.split("."), subject.split(".")) for pattern in role.publish)


def _matches(pattern: list[str], subject: list[str]) -> bool:
    for index, part in enumerate(pattern):
        if part == ">":
            return len(subject) > index
        if index >= len(subject) or part not in ("*", subject[index]):
            return False
    return len(pattern) == len(subject)


async def publish_wrongly(
    operator: NatsSettings, findings: Findings, rng: Random, *, inputs: int
) -> None:
    """Publish `inputs` times in all, as each user in turn, what that user may not."""
    for role in ROLES:
        settings = nats_of(role.user, operator)
        assert settings is not None
        sent: set[str] = set()
        refused: set[str] = set()
        said = asyncio.Event()

        async def hear(
            error: Exception, refused: set[str] = refused, said: asyncio.Event = said
        ) -> None:
            named = str(error).rpartition('publish to "')[2].rstrip('"')
            refused.add(named)
            if named == LAST:
                said.set()

        client = await _connect(settings, hear)
        try:
            while len(sent) < inputs // len(ROLES):
                wrong = subject(rng)
                if permits(role, wrong) or wrong.lower() in sent:
                    continue
                sent.add(wrong.lower())
                await client.publish(wrong, rng.randbytes(rng.randint(0, 200)))
            await client.publish(LAST, b"")
            async with asyncio.timeout(60):
                await said.wait()
        finally:
            await client.close()
        for wrong in sent:
            complaint = "" if wrong in refused else f"{role.user} published to {wrong}"
            findings.note("subject", "let in" if complaint else "refused", complaint)


async def publish_nonsense(
    operator: NatsSettings, findings: Findings, rng: Random, *, inputs: int
) -> None:
    """Publish nonsense where it is allowed: batches, work, pointers, cancels."""

    async def hear(error: Exception) -> None:
        findings.note("nonsense", "refused", f"refused its own subject: {error}")

    connections: dict[str, Client] = {}
    try:
        for user in ("publisher", "searcher", "trainer"):
            settings = nats_of(user, operator)
            assert settings is not None
            connections[user] = await _connect(settings, hear)
        for number in range(inputs):
            user, where, headers = _allowed(rng)
            await connections[user].publish(where, _nonsense(rng), headers=headers)
            findings.note("nonsense", "sent")
            if number % 200 == 0:
                await asyncio.gather(*(one.flush() for one in connections.values()))
        await asyncio.gather(*(one.flush() for one in connections.values()))
    finally:
        for client in connections.values():
            await client.close()


def _allowed(rng: Random) -> tuple[str, str, dict[str, str] | None]:
    token = streams.token(str(rng.random()))
    match rng.randrange(8):
        case 0:
            return "searcher", streams.work_subject(token, token), None
        case 1:
            return "searcher", f"rstar.search.{token}.{rng.choice(('cancel', 'watch'))}", None
        case 2:
            pointer = rng.choice(("policy", "ppm", token))
            return "trainer", f"$KV.{streams.POINTERS}.{pointer}", None
        case 3:
            return "trainer", streams.CHECKPOINT_PROMOTED, None
        case _:
            header = rng.choice(_CONTENT_TYPES[:4])
            return "publisher", streams.BATCH_SUBMIT, {"Content-Type": header} if header else None


def _nonsense(rng: Random) -> bytes:
    match rng.randrange(4):
        case 0:
            return rng.randbytes(rng.randint(0, 300))
        case 1:
            return broken_bytes(rng, events_pb2.BatchSubmission.DESCRIPTOR)
        case 2:
            key = f"inbox/{random_text(rng)}"
            return json.dumps({"batchId": random_text(rng), "problemsKey": key}).encode()
        case _:
            problem = {"problemId": random_text(rng), "question": random_text(rng) * 3}
            return json.dumps({"batch_id": random_text(rng), "problems": [problem, 3]}).encode()


async def strangers(operator: NatsSettings, findings: Findings, *, inputs: int) -> None:
    """Connect without a password, with another's, as nobody."""
    host, _, port = operator.servers[0].removeprefix("nats://").partition(":")
    for number in range(inputs):
        login = (
            {},
            {"user": "rstar"},
            {"user": "searcher", "pass": "rstar"},
            {"auth_token": "x"},
            {"user": ROLES[number % len(ROLES)].user, "pass": str(number)},
        )[number % 5]
        reader, writer = await asyncio.open_connection(host, int(port))
        await reader.readline()
        writer.write(
            b"CONNECT "
            + json.dumps({"verbose": False, **login}).encode()
            + b"\r\nPING\r\nSUB > 1\r\nPUB rstar.batches.submit 1\r\nx\r\n"
        )
        try:
            told = await reader.read()
        except ConnectionError:  # hung up on us before we had said it all
            told = b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        let_in = b"PONG" in told
        complaint = f"let in with {login}" if let_in else ""
        findings.note("connection", "let in" if let_in else "refused", complaint)


async def queues_empty(operator: NatsSettings) -> None:
    """Return once every batch and every problem has been dealt with.

    Raises:
        TimeoutError: something stays.
    """

    async def hear(error: Exception) -> None:
        return

    client = await _connect(operator, hear)
    try:
        async with asyncio.timeout(QUEUES_SECONDS):
            for name in (streams.BATCHES, streams.WORK):
                while True:
                    info = await client.jetstream().stream_info(name)
                    if not info.state.messages:
                        break
                    # A work queue has no event for "empty".
                    await asyncio.sleep(0.5)
    finally:
        await client.close()


async def _connect(settings: NatsSettings, hear: Callable[[Exception], Awaitable[None]]) -> Client:
    return await nats.connect(
        settings.servers,
        user=settings.user,
        password=settings.password.get_secret_value(),
        inbox_prefix=inbox(settings.user),
        allow_reconnect=False,
        error_cb=hear,
    )

"""Every attack is contained by real gVisor: it fails, or costs only itself.

The attacks are data in `tests/support/sandbox_attacks*.py`, one property each; the table of them
is in docs/sandbox-attacks.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from rstar.v1 import sandbox_pb2, types_pb2
from tests.support.sandbox import SandboxClient, idle, sandbox_client
from tests.support.sandbox_attack_table import ATTACKS, JUDGED
from tests.support.sandbox_attacks import (
    CLEAN,
    HOST_FILE,
    HOST_PORT,
    HOST_SOCKET,
    Attack,
    ended_as_it_must,
)
from tests.support.servers import Service, service

READY_SECONDS = 240.0
JUDGE_SECONDS = 110.0
LONGEST_SECONDS = 4.0
GRACE_SECONDS = 15.0
"""A busy machine notices late that a limit was reached."""

AT_ONCE = 3
"""Attacks at one time: each then has hostile neighbours too."""

OUTWARD = ("network", "host files", "kernel interfaces")
"""Groups that do not aim at the interpreters: looked at once after each, not twice."""

HELD = tuple(attack for attack in ATTACKS if not attack.open_defect)
NOT_HELD = tuple(
    pytest.param(attack, marks=pytest.mark.xfail(strict=True, reason=attack.open_defect))
    for attack in ATTACKS
    if attack.open_defect
)

GROUPS = tuple(dict.fromkeys(attack.group for attack in ATTACKS))


@dataclass(slots=True)
class Host:
    """What the attacks are after: it exists, and counts who came."""

    file: Path
    port: int
    socket: Path
    visitors: int = 0

    def fill(self, code: str) -> str:
        code = code.replace(HOST_FILE, str(self.file)).replace(HOST_PORT, str(self.port))
        return code.replace(HOST_SOCKET, str(self.socket))


@contextlib.asynccontextmanager
async def host(directory: Path) -> AsyncIterator[Host]:
    """A file, a TCP service and a unix socket of this machine."""
    file = directory / "secret"
    file.write_text("of the host")
    found = Host(file=file, port=0, socket=directory / "s")

    def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.visitors += 1
        writer.close()

    async with (
        await asyncio.start_server(greet, "127.0.0.1", 0) as tcp,
        await asyncio.start_unix_server(greet, found.socket),
    ):
        found.port = tcp.sockets[0].getsockname()[1]
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def besieged(
    tmp_path_factory: pytest.TempPathFactory, _runsc: None
) -> AsyncIterator[Service]:
    """One service for all attacks; a secret in its environment."""
    environment = {
        "RSTAR_SANDBOX_SANDBOX__SANDBOXES": "1",
        "RSTAR_SANDBOX_SANDBOX__RECYCLE_RUNS": "100000",
        "PLANTED_KEY": "secret",
    }
    directory = tmp_path_factory.mktemp("besieged")
    async with service("sandbox", directory, environment, ready_seconds=READY_SECONDS) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clean(besieged: Service) -> str:
    """What an untouched interpreter looks like, before any attack."""
    async with sandbox_client(besieged.address) as client:
        return await client.printed(CLEAN, session="before")


@pytest_asyncio.fixture
async def sandbox(besieged: Service) -> AsyncIterator[SandboxClient]:
    async with sandbox_client(besieged.address) as client:
        yield client


@pytest.mark.parametrize("group", GROUPS)
async def test_attacks_are_contained(
    sandbox: SandboxClient, clean: str, tmp_path: Path, group: str
):
    at_once = asyncio.Semaphore(AT_ONCE)
    async with host(tmp_path) as target, knocking() as answers, asyncio.TaskGroup() as tasks:

        async def one(attack: Attack) -> list[str]:
            async with at_once:
                return await breaches(sandbox, clean, target, attack)

        found = [tasks.create_task(one(attack)) for attack in HELD if attack.group == group]
    breaches_found = [breach for task in found for breach in task.result()]
    assert not breaches_found, "\n".join(breaches_found)
    assert target.visitors == 0
    assert target.file.read_text() == "of the host"
    assert not answers, "a port that an attack opened is open outside"


@asynccontextmanager
async def knocking() -> AsyncIterator[list[str]]:
    """Try the port of `listen-for-the-host` all the while; a line for each time it was open."""
    answers: list[str] = []

    async def knock() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", 47613)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                answers.append("open")

    task = asyncio.create_task(knock())
    try:
        yield answers
    finally:
        task.cancel()


@pytest.mark.parametrize("attack", NOT_HELD, ids=lambda attack: attack.name)
async def test_known_attacks_that_are_not_contained_yet(
    sandbox: SandboxClient, clean: str, tmp_path: Path, attack: Attack
):
    async with host(tmp_path) as target:
        found = await breaches(sandbox, clean, target, attack)
    assert not found, "\n".join(found)


async def breaches(sandbox: SandboxClient, clean: str, target: Host, attack: Attack) -> list[str]:
    """What of the attack's property does not hold."""
    codes = [target.fill(attack.code), *([attack.beside] if attack.beside else [])]
    limits = {"wall": LONGEST_SECONDS, "cpu": LONGEST_SECONDS, **dict(attack.limits)}
    response = await sandbox.execute(codes, path=attack.path, session=attack.name, **limits)
    found = []
    if not ended_as_it_must(attack, response.outcomes[0]):
        found.append(f"{attack.name}: {response.outcomes[0]}")
    if response.outcomes[0].wall_seconds > limits["wall"] + GRACE_SECONDS:
        found.append(f"{attack.name}: it ran for {response.outcomes[0].wall_seconds} s")
    if attack.beside and response.outcomes[1].stdout != attack.seen:
        found.append(f"{attack.name}: its sibling saw {response.outcomes[1]}")
    if attack.beside:  # again, for one that is born after the attack
        later = await sandbox.execute([attack.beside], path=attack.path, session=attack.name)
        if later.outcomes[0].stdout != attack.seen:
            found.append(f"{attack.name}: a later sibling saw {later.outcomes[0]}")
    # Nothing of it is left: for another problem, nor for another step of the same one.
    sessions = [attack.name, f"after-{attack.name}"][attack.group in OUTWARD :]
    for session in sessions:
        later = await sandbox.execute([CLEAN], session=session)
        if later.outcomes[0].stdout != clean:
            found.append(f"{attack.name}: left for {session}: {later.outcomes[0]}")
    return found


async def test_the_sandbox_that_was_attacked_is_still_the_first(
    sandbox: SandboxClient, besieged: Service
):
    assert await sandbox.printed("print('alive')") == "alive\n"
    log = besieged.log.read_text()
    assert "speaks gibberish" not in log
    assert "answers nonsense" not in log
    assert "no sign of life" not in log
    assert "a sandbox is replaced" not in log
    assert await idle(besieged), "something that an attack left behind computes"


async def test_hostile_answers_are_never_equal_within_the_clock(sandbox: SandboxClient):
    pairs = [
        sandbox_pb2.AnswerPair(
            answer=case.answer, reference=case.reference, kind=types_pb2.ANSWER_KIND_LATEX
        )
        for case in JUDGED
    ]
    async with asyncio.timeout(JUDGE_SECONDS):
        response = await sandbox.stub.Judge(sandbox_pb2.JudgeRequest(pairs=pairs))
    for case, judgement in zip(JUDGED, response.judgements, strict=True):
        assert judgement.verdict != types_pb2.VERDICT_EQUAL, case.name
        assert judgement.reason
        assert len(judgement.reason) < 1000

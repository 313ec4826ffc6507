"""A wave: one batch of problems, a fault in the middle of it, and what became of every problem.

What is counted is what lies in the streams and the store, asked of them and not of the services:
a result or a dead letter a problem, the tree that each result names, and nothing left over.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import nats.errors
from nats.js.errors import APIError, NotFoundError

from rstar.v1 import events_pb2, searcher_pb2, tree_pb2, types_pb2
from rstar_cli.chaos.system import System
from rstar_common import streams
from rstar_common.bus import publish_once
from rstar_common.errors import RstarError

POLL_SECONDS = 0.1
LEFT_SECONDS = 30.0
"""How long acknowledgements and purges may come after the last result."""

_UNKNOWN = "not a question of any world"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of a wave."""

    problems: int = 12
    rollouts: int = 2
    seconds: float = 150.0
    """After this a wave is given up, and what is missing counts as lost."""


@dataclass(slots=True, kw_only=True)
class Account:
    """What became of a wave."""

    submitted: int
    results: int = 0
    dead_letters: int = 0
    expected_dead: int = 0
    duplicated: int = 0
    lost: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])
    """Whatever else is not as it should be, a line each."""

    finished: list[float] = field(default_factory=list[float])
    """When each result was stored, by the clock of NATS."""

    trees: dict[str, str] = field(default_factory=dict[str, str])
    """Digest of each problem's tree, by problem."""

    versions: set[str] = field(default_factory=set[str])
    """Of the PPM, in all trees."""


class Wave:
    """One batch under way."""

    def __init__(self, system: System, name: str, size: Size, *, poison: bool = False) -> None:
        """Nothing is published yet. With `poison`, bad problems are among the good."""
        self.name = name
        self._system = system
        self._size = size
        self._batch = events_pb2.BatchSubmission(batch_id=name)
        for pid in range(size.problems):
            question = system.tiers.question(pid)
            self._batch.problems.add(problem_id=f"p{pid}", question=question)
        self._poison = poison
        if poison:
            self._batch.problems.add(problem_id="p0", question="a second p0?")
            self._batch.problems.add(problem_id="silent", question="")
            if system.tiers.same_trees:  # a real policy refuses no question
                self._batch.problems.add(problem_id="unknown", question=_UNKNOWN)
        self._bad = len(self._batch.problems) - size.problems
        settings = self._batch.settings
        settings.rollouts, settings.candidates = size.rollouts, 8
        settings.parallel_rollouts, settings.seed = 1, 7
        settings.strategy = types_pb2.STRATEGY_MCTS
        settings.max_trajectory_tokens = 65_536
        self._good = {
            streams.result_subject(name, f"p{pid}"): f"p{pid}" for pid in range(size.problems)
        }

    async def publish(self) -> None:
        """Submit the batch, and with poison a message that is none."""
        jetstream = self._system.jetstream
        if self._poison:
            await publish_once(jetstream, streams.BATCH_SUBMIT, b"\xff{ no batch")
        await publish_once(
            jetstream,
            streams.BATCH_SUBMIT,
            self._batch.SerializeToString(),
            headers={"Content-Type": "application/protobuf"},
        )

    async def under_way(self) -> bool:
        """Wait for the first result, with most still to come; False if the time ends first."""
        return await self._come(1)

    async def ended(self) -> bool:
        """Wait until every problem has its end; False if the time ends first."""
        return await self._come(len(self._batch.problems))

    async def _come(self, ends: int) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._size.seconds):
                while True:
                    if len(await self._results()) + len(await self._dead()) >= ends:
                        return True
                    # Counting is the only way to see results that survives a restart of NATS.
                    await asyncio.sleep(POLL_SECONDS)
        return False

    async def account(self) -> Account:
        """Count everything; the wave has ended."""
        results, dead = await self._results(), await self._dead()
        account = Account(
            submitted=len(self._batch.problems),
            results=len(results),
            dead_letters=len(dead),
            expected_dead=self._bad,
            duplicated=sum(count - 1 for count in results.values()),
            lost=[problem for subject, problem in self._good.items() if subject not in results],
        )
        async for letter in self._letters(dead):
            if not letter.failure.message:
                account.wrong.append(f"{letter.problem_id}: a dead letter without a reason")
            if not self._poison:
                why = letter.failure.message
                account.wrong.append(f"{letter.problem_id}: dead-lettered: {why[:200]}")
        if account.dead_letters != account.expected_dead and self._poison:
            account.wrong.append(f"{account.dead_letters} dead letters of {self._bad} bad problems")
        for subject in results:
            await self._examine(subject, account)
        account.wrong += await self._left_over()
        return account

    async def _examine(self, subject: str, account: Account) -> None:
        message = await self._system.jetstream.get_last_msg(streams.RESULTS, subject)
        result = searcher_pb2.BatchResult.FromString(message.data or b"")
        assert message.time is not None, "the stream's leader says when"
        account.finished.append(message.time.timestamp())
        name = result.problem_id
        if (
            result.result.status != tree_pb2.SEARCH_STATUS_ANSWERED
            and self._system.tiers.same_trees
        ):
            status = tree_pb2.SearchStatus.Name(result.result.status)
            account.wrong.append(f"{name}: {status}")
        try:
            data = await self._system.store.get(result.result.tree_key)
        except RstarError as error:
            account.wrong.append(f"{name}: its tree is not there: {error}")
            return
        tree = tree_pb2.Tree.FromString(data)
        if tree.result.search_id != result.result.search_id:
            account.wrong.append(f"{name}: the tree of another search")
        account.trees[name] = digest(tree)
        versions = {node.versions.ppm for node in tree.nodes if node.versions.ppm}
        account.versions |= versions
        if len(versions) > 1:
            account.wrong.append(f"{name}: values of PPM versions {sorted(versions)} in one tree")

    async def _left_over(self) -> list[str]:
        """Work and journals that nobody will end any more."""
        left: Mapping[str, int] = {}
        deadline = asyncio.get_running_loop().time() + LEFT_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            left = {name: await self._messages(name) for name in (streams.WORK, streams.BATCHES)}
            if not any(left.values()):
                return []
            await asyncio.sleep(POLL_SECONDS)
        return [f"{count} messages left in {name}" for name, count in left.items() if count]

    async def _messages(self, stream: str) -> int:
        return (await self._system.jetstream.stream_info(stream)).state.messages

    async def _results(self) -> dict[str, int]:
        return await self._subjects(streams.RESULTS, streams.result_subject(self.name))

    async def _dead(self) -> dict[str, int]:
        return await self._subjects(streams.DEAD, streams.dead_subject(self.name))

    async def _subjects(self, stream: str, subjects: str) -> dict[str, int]:
        """Messages by subject; empty while NATS is away."""
        try:
            info = await self._system.jetstream.stream_info(stream, subjects_filter=subjects)
        except (nats.errors.Error, APIError):
            return {}
        return dict(info.state.subjects or {})

    async def _letters(
        self, subjects: Mapping[str, int]
    ) -> AsyncGenerator[searcher_pb2.DeadLetter]:
        for subject in subjects:
            try:
                message = await self._system.jetstream.get_last_msg(streams.DEAD, subject)
            except NotFoundError:
                continue
            yield searcher_pb2.DeadLetter.FromString(message.data or b"")


def digest(tree: tree_pb2.Tree) -> str:
    """Names what a search found; alike for searches of one problem, whatever delayed them."""
    found = hashlib.sha256()
    for node in tree.nodes:
        kept = tree_pb2.Node()
        kept.CopyFrom(node)
        kept.ClearField("versions")
        kept.candidate.policy_version = ""
        found.update(kept.SerializeToString(deterministic=True))
    found.update(tree.result.answer.encode())
    return found.hexdigest()[:16]

"""Engines and generators that do as they are told, behind the policy's own protocols."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rstar_common.errors import RstarError, Unavailable
from rstar_common.formats import MINI, Marker, PromptFormat, StepKind
from rstar_policy.engine import Candidate, EngineInfo, Proposal, Query, Usage
from rstar_policy.generation import Generation, Sampling
from rstar_policy.loaded import Checkpoint
from rstar_policy.prompter import MarkerPrompter
from rstar_policy.waiting import first_of
from tests.support.policy_model import EOS, mini_tokenizer


class ScriptedEngine:
    """Answers every query with its own text, when `gate` is open; or raises `failure`."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.failure: RstarError | None = None
        self.queries: list[Query] = []
        self.kinds: list[StepKind] = []
        """Of the steps of a solution, by depth; CODE beyond."""

    def info(self) -> EngineInfo:
        return EngineInfo(
            policy_version="v1",
            tokenizer="t1",
            prompt_format="mini",
            engine="scripted",
            max_context_tokens=99,
        )

    async def propose(self, query: Query) -> Proposal:
        self.queries.append(query)
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.failure is not None:
            raise self.failure
        depth = len(query.path)
        kind = self.kinds[depth] if depth < len(self.kinds) else StepKind.CODE
        candidates = [
            Candidate(
                text=f"step {index}",
                kind=kind,
                complete=True,
                seed=index,
                policy_version="v1",
                token_ids=(1, 2),
                token_logprobs=(-0.5, -0.25),
                tokenizer="t1",
            )
            for index in range(query.num_candidates)
        ]
        usage = Usage(generated_tokens=8, prompt_tokens=20, cached_prompt_tokens=5)
        return Proposal(candidates=candidates, usage=usage)


class ScriptedGenerator:
    """Generates `script` for every seed, labelled with the weights it holds."""

    def __init__(self, version: str, script: Sequence[int]) -> None:
        self.version = version
        self.script = script
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.down = asyncio.Event()
        self.hangs = False
        self.calls: list[tuple[list[int], Sampling]] = []
        self.updates: list[str] = []
        self.running = 0
        self._abort = asyncio.Event()

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> list[Generation]:
        self.calls.append((list(prompt_ids), sampling))
        self.running += 1
        self.entered.set()
        abort = self._abort
        try:
            await first_of(gate=self.gate.wait(), aborted=abort.wait(), down=self.down.wait())
        finally:
            self.running -= 1
        if self.down.is_set():
            raise Unavailable("the generator is down")
        ended = abort.is_set()
        return [
            Generation(
                token_ids=self.script[:1] if ended else self.script,
                logprobs=[-1.0] * len(self.script),
                prompt_tokens=len(prompt_ids),
                cached_tokens=1,
                weight_version=self.version,
                aborted=ended,
            )
            for _ in sampling.seeds
        ]

    async def abort_cancelled(self) -> None:
        await asyncio.Event().wait()

    async def abort_all(self) -> None:
        self._abort.set()
        self._abort = asyncio.Event()

    async def update_weights(self, directory: Path, *, version: str) -> None:
        assert self.running == 0, "weights changed under a running sample"
        self.updates.append(version)
        self.version = version

    async def check_health(self, timeout_seconds: float) -> None:
        if self.down.is_set() or self.hangs:
            raise Unavailable("the generator is down")


class ScriptedServer:
    """A server that lives until its generator is down."""

    def __init__(self, generator: ScriptedGenerator) -> None:
        self.generator = generator

    async def exited(self) -> str:
        await self.generator.down.wait()
        return "told to"


class ScriptedLauncher:
    """Starts scripted servers and remembers them; fails as often as told."""

    def __init__(self, script: Sequence[int]) -> None:
        self.script = script
        self.started: list[ScriptedGenerator] = []
        self.failures: dict[str, int] = {}
        self.changed = asyncio.Event()

    @asynccontextmanager
    async def __call__(self, checkpoint: Checkpoint) -> AsyncGenerator[ScriptedServer]:
        if self.failures.get(checkpoint.version, 0) > 0:
            self.failures[checkpoint.version] -= 1
            raise Unavailable(f"{checkpoint.version} does not start")
        generator = ScriptedGenerator(checkpoint.version, self.script)
        self.started.append(generator)
        yield ScriptedServer(generator)


def scripted_prompter(prompt_format: PromptFormat = MINI) -> MarkerPrompter:
    """A real prompter on the tiny tokenizer."""
    tokenizer = mini_tokenizer()
    return MarkerPrompter(tokenizer, prompt_format, [tokenizer.token_to_id(EOS)])


def scripted_checkpoint(
    version: str, *, architecture: str = "a", context_tokens: int = 256
) -> Checkpoint:
    """A checkpoint without weights."""
    return Checkpoint(
        version=version,
        directory=Path("/nowhere"),
        prompter=scripted_prompter(),
        context_tokens=context_tokens,
        architecture=architecture,
    )


def token_ids(*pieces: str | Marker) -> list[int]:
    """The tiny tokenizer's ids of text and markers."""
    tokenizer = mini_tokenizer()
    ids: list[int] = []
    for piece in pieces:
        if isinstance(piece, Marker):
            ids.append(tokenizer.token_to_id(piece.value))
        elif piece == EOS:
            ids.append(tokenizer.token_to_id(EOS))
        else:
            ids += tokenizer.encode(piece, add_special_tokens=False).ids
    return ids

"""Queries answered by a model on a token generator; weights changed without a failed call.

One coroutine, `run`, owns the generator: it starts it, watches it, swaps its weights and
replaces it. Everything else only reads `_serving`, which is one immutable pair of server
and checkpoint, and does so behind the gate: prompt, sample and version label always belong
to the same weights.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from rstar_common.errors import InvalidInput, Unavailable
from rstar_common.rpc import Readiness
from rstar_policy import metrics
from rstar_policy.engine import Candidate, EngineInfo, Proposal, Query, Usage, candidate_seed
from rstar_policy.generation import Generation, Sampling, Server
from rstar_policy.loaded import Checkpoint
from rstar_policy.swap import SwapGate
from rstar_policy.waiting import first_of

logger = logging.getLogger(__name__)

Launcher = Callable[[Checkpoint], AbstractAsyncContextManager[Server]]
"""Brings a server up with a checkpoint, and down again."""

HEALTH_SECONDS = 15.0
"""Between health checks; a process that died is noticed without them."""

HEALTH_TIMEOUT_SECONDS = 60.0
MAX_MISSED_CHECKS = 2

MAX_FIRST_STARTS = 3
"""Failed starts after which a service that never worked gives up and says why."""

RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0)
"""Pauses between failed starts; the last repeats."""

MAX_SAMPLES = 5
"""How often one call is sampled anew because something outside ended its samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The server that is up and the checkpoint in it."""

    server: Server
    checkpoint: Checkpoint


class SglangEngine:
    """Implements `Engine`."""

    def __init__(
        self,
        launcher: Launcher,
        *,
        readiness: Readiness,
        swap_drain_seconds: float,
        context_limit: int = 0,
    ) -> None:
        """`context_limit` lowers the checkpoint's own context; 0 leaves it."""
        self._launcher = launcher
        self._readiness = readiness
        self._swap_drain_seconds = swap_drain_seconds
        self._context_limit = context_limit
        self._gate = SwapGate()
        self._serving: Serving | None = None
        self._wanted: Checkpoint | None = None
        self._last_good: Checkpoint | None = None
        self._changed = asyncio.Event()

    def want(self, checkpoint: Checkpoint) -> None:
        """Serve this checkpoint from now on; `run` does the work."""
        self._wanted = checkpoint
        self._changed.set()

    def info(self) -> EngineInfo:
        checkpoint = self._now().checkpoint
        return EngineInfo(
            policy_version=checkpoint.version,
            tokenizer=checkpoint.prompter.tokenizer_hash,
            prompt_format=checkpoint.prompter.name,
            engine="sglang",
            max_context_tokens=self._context_tokens(checkpoint),
        )

    async def propose(self, query: Query) -> Proposal:
        seeds = [candidate_seed(query.seed, index) for index in range(query.num_candidates)]
        candidates: dict[int, Candidate] = {}
        usage = Usage()
        for _ in range(MAX_SAMPLES):
            missing = [index for index in range(len(seeds)) if index not in candidates]
            async with self._gate.generating():
                serving = self._now()
                generations = await self._generate(serving, query, [seeds[i] for i in missing])
            for index, generation in zip(missing, generations, strict=True):
                usage += _usage_of(generation)
                if not generation.aborted:
                    candidates[index] = _candidate(
                        generation, serving.checkpoint, query, seeds[index]
                    )
            if len(candidates) == len(seeds):
                ordered = [candidates[index] for index in range(len(seeds))]
                return Proposal(candidates=ordered, usage=usage)
            usage += Usage(retries=1)
        raise Unavailable("the engine keeps aborting these samples")

    async def run(self, stop: asyncio.Event) -> None:
        """Keep a server up with the wanted checkpoint until `stop`.

        Raises:
            Unavailable: it never came up.
        """
        await first_of(stop=stop.wait(), engine=self._supervise())

    async def _supervise(self) -> None:
        failures = 0
        while True:
            while self._wanted is None:
                await self._changed.wait()
            self._changed.clear()
            checkpoint = self._wanted
            try:
                async with self._launcher(checkpoint) as server:
                    failures = 0
                    self._set_serving(Serving(server=server, checkpoint=checkpoint))
                    ending = await self._serve(server)
                    self._set_serving(None)
                logger.warning("the engine is replaced: %s", ending)
            except Unavailable as error:
                failures += 1
                logger.error("engine: %s", error)
                if self._last_good is None and failures >= MAX_FIRST_STARTS:
                    raise
                if self._wanted is checkpoint and self._last_good is not None:
                    self._wanted = self._last_good
                pause = RESTART_SECONDS[min(failures, len(RESTART_SECONDS)) - 1]
                # Callers learn that there is no engine, instead of waiting for one.
                self._gate.open()
                await first_of(pause=asyncio.sleep(pause), wanted=self._changed.wait())
            finally:
                self._set_serving(None)

    async def _serve(self, server: Server) -> str:
        """Serve until the server must be replaced; returns why."""
        endings: list[str] = []

        async def exited() -> None:
            endings.append(await server.exited())

        why = await first_of(
            exited=exited(),
            unhealthy=self._until_unhealthy(server),
            other_architecture=self._swap_while_possible(server),
            aborts=server.generator.abort_cancelled(),
        )
        return endings[0] if endings else why.replace("_", " ")

    async def _swap_while_possible(self, server: Server) -> None:
        """Put wanted weights into the running server; return when that cannot be done."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            held, wanted = self._now().checkpoint, self._wanted
            if wanted is None or wanted.version == held.version:
                continue
            started = time.perf_counter()
            await self._gate.close(
                drain_seconds=self._swap_drain_seconds, abort=server.generator.abort_all
            )
            if wanted.architecture != held.architecture:
                metrics.SWAPS.labels("restart").inc()
                self._changed.set()
                # The gate stays closed: callers wait for the new engine.
                return
            await server.generator.update_weights(wanted.directory, version=wanted.version)
            self._set_serving(Serving(server=server, checkpoint=wanted))
            metrics.SWAPS.labels("weights").inc()
            metrics.SWAP_SECONDS.observe(time.perf_counter() - started)

    async def _until_unhealthy(self, server: Server) -> None:
        missed = 0
        while missed < MAX_MISSED_CHECKS:
            # A poll: an engine that hangs tells nobody.
            await asyncio.sleep(HEALTH_SECONDS)
            if self._gate.closed:
                continue
            try:
                await server.generator.check_health(HEALTH_TIMEOUT_SECONDS)
                missed = 0
            except Unavailable as error:
                missed += 1
                logger.warning("health check %d missed: %s", missed, error)

    def _set_serving(self, serving: Serving | None) -> None:
        self._serving = serving
        metrics.LOADED.clear()
        if serving is not None:
            self._last_good = serving.checkpoint
            metrics.LOADED.labels(serving.checkpoint.version).set(1)
            logger.info("serving", extra={"policy_version": serving.checkpoint.version})
            self._gate.open()
        metrics.ENGINE_UP.set(serving is not None)
        self._readiness.set(serving is not None)

    def _now(self) -> Serving:
        if self._serving is None:
            raise Unavailable(
                "no policy checkpoint is promoted yet"
                if self._wanted is None
                else "the engine is starting"
            )
        return self._serving

    def _context_tokens(self, checkpoint: Checkpoint) -> int:
        return min(self._context_limit or checkpoint.context_tokens, checkpoint.context_tokens)

    async def _generate(
        self, serving: Serving, query: Query, seeds: Sequence[int]
    ) -> Sequence[Generation]:
        checkpoint = serving.checkpoint
        prompt_ids = checkpoint.prompter.prompt_ids(query.question, query.path)
        room = self._context_tokens(checkpoint) - len(prompt_ids) - 1
        if room < 1 and not query.path:
            raise InvalidInput(
                f"is {len(prompt_ids)} tokens long; the model's context is "
                f"{self._context_tokens(checkpoint)}",
                field="question",
            )
        if room < 1:
            # The length limit was reached before the step began: it is incomplete.
            return [_nothing(checkpoint.version)] * len(seeds)
        return await serving.server.generator.generate(
            prompt_ids,
            Sampling(
                seeds=seeds,
                temperature=query.temperature,
                top_p=query.top_p,
                max_new_tokens=min(query.max_tokens, room),
                stop_token_ids=checkpoint.prompter.stop_token_ids,
                stop_texts=checkpoint.prompter.stop_texts,
            ),
        )


UNLABELLED = ("", "default")
"""What SGLang calls weights that nobody named; only an external server has such."""


def _candidate(
    generation: Generation, checkpoint: Checkpoint, query: Query, seed: int
) -> Candidate:
    reading = checkpoint.prompter.read(generation.token_ids, query.path)
    version = generation.weight_version
    return Candidate(
        text=reading.text,
        kind=reading.kind,
        complete=reading.complete,
        seed=seed,
        policy_version=checkpoint.version if version in UNLABELLED else version,
        answer=reading.answer,
        output_is_answer=reading.output_is_answer,
        token_ids=generation.token_ids,
        token_logprobs=generation.logprobs,
        tokenizer=checkpoint.prompter.tokenizer_hash,
    )


def _nothing(version: str) -> Generation:
    return Generation(
        token_ids=(), logprobs=(), prompt_tokens=0, cached_tokens=0, weight_version=version
    )


def _usage_of(generation: Generation) -> Usage:
    return Usage(
        generated_tokens=len(generation.token_ids),
        prompt_tokens=generation.prompt_tokens,
        cached_prompt_tokens=generation.cached_tokens,
    )

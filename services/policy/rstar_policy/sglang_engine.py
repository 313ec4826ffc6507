"""Queries answered by a model on a token generator.

Each query becomes one prompt and n samples of it. A sample that a swap of weights ended is
sampled anew with the weights that came; the rest of its query keeps what it has. Where a
query says how many candidates are enough, `siblings` tells which are cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rstar_common.errors import InvalidInput, Unavailable
from rstar_policy.engine import Candidate, EngineInfo, Proposal, Query, Usage, candidate_seed
from rstar_policy.generation import Generation, Sampling
from rstar_policy.loaded import Checkpoint
from rstar_policy.siblings import Siblings
from rstar_policy.supervisor import Serving, Supervisor

MAX_SAMPLES = 5
"""How often one call is sampled anew because something outside ended its samples."""


UNLABELLED = ("", "default")
"""What SGLang calls weights that nobody named; only an external server has such."""


class SglangEngine:
    """Implements `Engine`."""

    def __init__(self, supervisor: Supervisor, *, context_limit: int = 0) -> None:
        """`context_limit` lowers the checkpoint's own context; 0 leaves it."""
        self._supervisor = supervisor
        self._context_limit = context_limit

    def info(self) -> EngineInfo:
        checkpoint = self._supervisor.now().checkpoint
        return EngineInfo(
            policy_version=checkpoint.version,
            tokenizer=checkpoint.prompter.tokenizer_hash,
            prompt_format=checkpoint.prompter.name,
            engine="sglang",
            max_context_tokens=self._context_tokens(checkpoint),
        )

    async def propose(self, query: Query) -> Proposal:
        seeds = [candidate_seed(query.seed, index) for index in range(query.num_candidates)]
        siblings = Siblings(query.num_candidates, enough=query.enough)
        checkpoints: dict[int, Checkpoint] = {}
        usage = Usage()
        for _ in range(MAX_SAMPLES):
            missing = siblings.missing()
            limited = replace(query, max_tokens=min(query.max_tokens, siblings.limit))
            async with self._supervisor.held() as serving:
                generations = await self._generate(
                    serving, limited, [seeds[i] for i in missing], enough=siblings.wanted
                )
            for index, generation in zip(missing, generations, strict=True):
                usage += _usage_of(generation)
                siblings.add(index, generation)
                checkpoints[index] = serving.checkpoint
            if not siblings.missing():
                ordered = [
                    _candidate(generation, checkpoints[index], query, seeds[index])
                    for index, generation in enumerate(siblings.cut())
                ]
                return Proposal(candidates=ordered, usage=usage)
            usage += Usage(retries=1)
        raise Unavailable("the engine keeps aborting these samples")

    def _context_tokens(self, checkpoint: Checkpoint) -> int:
        return min(self._context_limit or checkpoint.context_tokens, checkpoint.context_tokens)

    async def _generate(
        self, serving: Serving, query: Query, seeds: Sequence[int], *, enough: int
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
                enough=enough if enough < len(seeds) else 0,
            ),
        )


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

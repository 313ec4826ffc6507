"""An SGLang server, or its router, that somebody else runs: attached to, never started."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rstar_common.errors import Unavailable
from rstar_policy.generation import Generation, Sampling
from rstar_policy.loaded import Checkpoint
from rstar_policy.sglang_client import SglangClient

logger = logging.getLogger(__name__)

ATTACH_SECONDS = 60.0
"""For the first sign of life: `/health` of SGLang generates a token."""


class ExternalServer:
    """Implements `Server`."""

    def __init__(self, generator: LabelledGenerator) -> None:
        self.generator = generator

    async def exited(self) -> str:
        """Wait until a server behind it turns out to hold other weights."""
        await self.generator.mislabelled.wait()
        return "a server holds other weights"


class LabelledGenerator(SglangClient):
    """A client that refuses samples of weights it did not ask for.

    A worker that somebody restarted comes back with the weights it began with; its samples
    must not be told as the promoted version's.
    """

    def __init__(
        self, url: str, *, api_key: str, workers: Sequence[str] = (), version: str = ""
    ) -> None:
        """An empty `version` takes any weights."""
        super().__init__(url, api_key=api_key, workers=workers)
        self.mislabelled = asyncio.Event()
        self._version = version

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> list[Generation]:
        generations = await super().generate(prompt_ids, sampling)
        for label in {generation.weight_version for generation in generations}:
            if self._version and label != self._version:
                self.mislabelled.set()
                raise Unavailable(f"a server holds {label!r} instead of {self._version}")
        return generations

    async def update_weights(self, directory: Path, *, version: str) -> None:
        await super().update_weights(directory, version=version)
        self._version = version


@asynccontextmanager
async def attached(
    url: str,
    *,
    api_key: str,
    checkpoint: Checkpoint,
    manage_weights: bool,
    workers: Sequence[str] = (),
) -> AsyncGenerator[ExternalServer]:
    """Attach to a server, or to a router and its `workers`.

    With `manage_weights`, those load `checkpoint` unless they have it. The checkpoint's
    directory must then be at the same path on their machines.

    Raises:
        Unavailable: none answers, or none takes the weights.
    """
    client = LabelledGenerator(
        url,
        api_key=api_key,
        workers=workers,
        version=checkpoint.version if manage_weights else "",
    )
    try:
        if manage_weights:
            await client.ensure_weights(checkpoint.directory, version=checkpoint.version)
        await client.check_health(ATTACH_SECONDS)
        logger.info("attached to an engine", extra={"engine_url": url, "workers": len(workers)})
        yield ExternalServer(client)
    finally:
        await client.aclose()

"""An SGLang server, or its router, that somebody else runs: attached to, never started."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rstar_policy.loaded import Checkpoint
from rstar_policy.sglang_client import SglangClient

logger = logging.getLogger(__name__)


class ExternalServer:
    """Implements `Server`."""

    def __init__(self, client: SglangClient) -> None:
        self.generator = client

    async def exited(self) -> str:
        """Never: only the health checks tell."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


@asynccontextmanager
async def attached(
    url: str, *, api_key: str, checkpoint: Checkpoint, manage_weights: bool
) -> AsyncGenerator[ExternalServer]:
    """Attach to a server; with `manage_weights`, have it load `checkpoint` unless it has.

    The checkpoint's directory must then be at the same path on the server's machine.

    Raises:
        Unavailable: it does not answer, or does not take the weights.
    """
    client = SglangClient(url, api_key=api_key)
    try:
        info = await client.model_info()
        if manage_weights and info.get("weight_version") != checkpoint.version:
            await client.update_weights(checkpoint.directory, version=checkpoint.version)
        logger.info(
            "attached to an engine", extra={"engine_url": url, "model": info.get("model_path")}
        )
        yield ExternalServer(client)
    finally:
        await client.aclose()

"""Build the engine that the settings name, and the components it needs running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected, watch
from rstar_common.checkpoints import Pointers
from rstar_common.lifecycle import Component
from rstar_common.rpc import Readiness
from rstar_common.streams import POINTERS, key_value
from rstar_policy.bootstrap_engine import BootstrapEngine
from rstar_policy.engine import Engine
from rstar_policy.external import attached
from rstar_policy.follow import PointerFollower
from rstar_policy.generation import Server
from rstar_policy.hub import local_model
from rstar_policy.loaded import Checkpoint, open_checkpoint
from rstar_policy.promoted_engine import PromotedEngine
from rstar_policy.settings import PolicySettings
from rstar_policy.sglang_command import launch_of
from rstar_policy.sglang_engine import SglangEngine
from rstar_policy.sglang_process import started
from rstar_policy.supervisor import Supervisor


@asynccontextmanager
async def build(
    settings: PolicySettings, readiness: Readiness
) -> AsyncGenerator[tuple[Engine, Mapping[str, Component]]]:
    """Yield the engine and the components that feed it.

    The engine itself runs until the body ends: calls that drain still need it.
    """
    if settings.engine == "bootstrap":
        readiness.set(True)
        yield _proposer(), {}
        return

    supervisor = Supervisor(
        lambda checkpoint: _server(settings, checkpoint),
        readiness=readiness,
        swap_drain_seconds=settings.swap_drain_seconds,
    )
    engine = SglangEngine(supervisor, context_limit=settings.sglang.context_length)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        if settings.model:
            directory = await asyncio.to_thread(local_model, settings.model)
            supervisor.want(
                await asyncio.to_thread(
                    open_checkpoint, directory, prompt_format=settings.prompt_format
                )
            )
            group.create_task(supervisor.run(stop), name="engine")
            yield engine, {}
        else:
            group.create_task(supervisor.run(stop), name="engine")
            async with connected(settings.nats, name="policy") as client:
                store = ObjectStore(settings.object_store)
                await store.ready()
                bucket = await key_value(
                    client.jetstream(), POINTERS, replicas=settings.nats.replicas
                )
                promoted = PromotedEngine(engine, _proposer)

                def want(checkpoint: Checkpoint) -> None:
                    supervisor.want(checkpoint)
                    promoted.use_model()
                    readiness.set(supervisor.up)

                def propose() -> None:
                    promoted.use_proposer()
                    readiness.set(True)

                follower = PointerFollower(
                    Pointers(bucket, channel=settings.channel),
                    store,
                    cache=settings.cache_dir / "checkpoints",
                    prompt_format=settings.prompt_format,
                    want=want,
                    propose=propose,
                )
                yield promoted, {"follower": follower.run, "nats": watch(client, settings.nats)}
        stop.set()


def _proposer() -> BootstrapEngine:
    # Imported here: only a bootstrap policy needs it.
    from rstar_policy.bootstrap.proposer import RandomProgramProposer

    return BootstrapEngine(RandomProgramProposer())


def _server(
    settings: PolicySettings, checkpoint: Checkpoint
) -> AbstractAsyncContextManager[Server]:
    if settings.engine_url:
        return attached(
            settings.engine_url,
            api_key=settings.engine_api_key.get_secret_value(),
            checkpoint=checkpoint,
            manage_weights=not settings.model,
            workers=settings.engine_workers,
        )
    return started(launch_of(settings.sglang, checkpoint), log_file=_log_file(settings))


def _log_file(settings: PolicySettings) -> Path:
    return settings.sglang.log_file or settings.cache_dir / "sglang.log"

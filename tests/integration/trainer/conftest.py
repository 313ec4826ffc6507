"""A queue for each test and a store with problems for each module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected
from rstar_common.checkpoints import Pointers
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.streams import POINTERS, ensure_topology, key_value
from rstar_trainer.promotion import Registry
from tests.support.evolution_runs import put_pool
from tests.support.servers import nats_server


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsSettings]:
    async with nats_server(tmp_path / "nats") as settings:
        yield settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(object_store_settings: ObjectStoreSettings) -> ObjectStore:
    """The store, with a training pool and an evaluation set."""
    store = ObjectStore(object_store_settings)
    await store.ready()
    await put_pool(store)
    return store


@pytest.fixture
async def registry(
    tmp_path: Path, object_store_settings: ObjectStoreSettings
) -> AsyncIterator[Registry]:
    """A stack's own: nothing was promoted yet."""
    settings = object_store_settings.model_copy(update={"bucket": "seed-models"})
    store = ObjectStore(settings)
    await store.ready()
    async with (
        nats_server(tmp_path / "nats") as nats,
        connected(nats, name="test") as connection,
    ):
        jetstream = connection.jetstream()
        await ensure_topology(jetstream)
        yield Registry(store, Pointers(await key_value(jetstream, POINTERS)), jetstream)

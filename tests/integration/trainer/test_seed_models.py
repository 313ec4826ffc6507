"""The models that come with the project, on a real nats-server and a real S3 server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected
from rstar_common.checkpoints import MANIFEST, PREFIX, Manifest, Pointers, describe
from rstar_common.config import ObjectStoreSettings
from rstar_common.streams import POINTERS, ensure_topology, key_value
from rstar_trainer.promotion import Registry, import_seeds
from tests.support.servers import nats_server


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


def shipped(directory: Path, weights: str) -> Manifest:
    """A project that comes with a PPM of these weights."""
    model = directory / "ppm"
    model.mkdir(parents=True, exist_ok=True)
    (model / "model.safetensors").write_text(weights)
    manifest = describe(model, model="ppm", prompt_format="mini")
    (model / MANIFEST).write_bytes(manifest.to_json())
    return manifest


async def test_an_upgrade_brings_its_models_and_takes_nothing_from_the_user(
    registry: Registry, tmp_path: Path
):
    project = tmp_path / "models"
    first = shipped(project, "first")
    await import_seeds(registry, project)
    assert await registry.promoted("ppm") == first.version

    second = shipped(project, "second")
    await import_seeds(registry, project)
    assert await registry.promoted("ppm") == second.version

    # Somebody goes back, and starts again: both seeds are known here.
    await registry.promote(first)
    await import_seeds(registry, project)
    assert await registry.promoted("ppm") == first.version

    own = shipped(tmp_path / "own", "own")
    await registry.promote(own)
    shipped(project, "third")
    await import_seeds(registry, project)
    assert await registry.promoted("ppm") == own.version


async def test_a_manifest_that_cannot_be_read_hides_no_other(registry: Registry, tmp_path: Path):
    whole = shipped(tmp_path / "models", "whole")
    await import_seeds(registry, tmp_path / "models")
    await registry.store.put(f"{PREFIX}ppm/ppm-torn/{MANIFEST}", b'{"model": "ppm"')
    await registry.store.put(f"{PREFIX}ppm/ppm-newer/{MANIFEST}", b'{"model": "ppm", "new": 1}')
    versions = [manifest.version for manifest in await registry.manifests("ppm")]
    assert whole.version in versions
    assert not {"ppm-torn", "ppm-newer"} & set(versions)

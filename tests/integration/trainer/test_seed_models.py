"""The models that come with the project, on a real nats-server and a real S3 server."""

from __future__ import annotations

from pathlib import Path

from rstar_common.checkpoints import MANIFEST, PREFIX, Manifest, describe
from rstar_trainer.promotion import Registry, import_seeds


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

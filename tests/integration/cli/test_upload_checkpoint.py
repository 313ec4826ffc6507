"""A model that was made elsewhere, published into a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from rstar_cli.upload import upload_checkpoint
from rstar_common.artifacts import ObjectStore
from rstar_common.checkpoints import MANIFEST, fetch, read_manifest
from rstar_common.config import ObjectStoreSettings
from rstar_common.errors import Conflict, InvalidInput
from tests.support.models import write_policy


@pytest.fixture
async def store(object_store_settings: ObjectStoreSettings) -> ObjectStore:
    store = ObjectStore(object_store_settings)
    await store.ready()
    return store


def made_elsewhere(directory: Path, *, seed: int = 0) -> Path:
    write_policy(directory, seed=seed)
    (directory / MANIFEST).unlink()
    return directory


async def test_it_is_a_checkpoint_like_any_other_under_the_name_it_was_given(tmp_path, store):
    source = made_elsewhere(tmp_path / "base")
    settings = {"model": "policy", "prompt_format": "rstar", "version": "uploaded-base"}
    manifest = await upload_checkpoint(store, source, **settings)
    assert manifest == await read_manifest(store, "policy", "uploaded-base")
    copy = await fetch(store, manifest, tmp_path / "cache")
    weights = "model.safetensors"
    assert (copy / weights).read_bytes() == (source / weights).read_bytes()
    # Again it changes nothing; another model does not take its name.
    assert await upload_checkpoint(store, source, **settings) == manifest
    with pytest.raises(Conflict):
        await upload_checkpoint(store, made_elsewhere(tmp_path / "other", seed=1), **settings)


async def test_without_a_name_it_is_called_by_its_hash(tmp_path, store):
    source = made_elsewhere(tmp_path / "base", seed=2)
    manifest = await upload_checkpoint(
        store, source, model="policy", prompt_format="mini", version=""
    )
    assert manifest.version.startswith("policy-")


@pytest.mark.parametrize(
    ("missing", "settings", "field"),
    [
        ("config.json", {}, "base"),
        ("tokenizer.json", {}, "base"),
        ("model.safetensors", {}, "base"),
        ("", {"prompt_format": "chat"}, "--prompt-format"),
        ("", {"model": "ppm", "prompt_format": "instruct"}, "--prompt-format"),
        ("", {"version": "a/b"}, "--version"),
        ("", {"version": "a b"}, "--version"),
    ],
)
async def test_what_is_no_model_is_refused_by_its_field(tmp_path, store, missing, settings, field):
    source = made_elsewhere(tmp_path / "base")
    if missing:
        (source / missing).unlink()
    whole = {"model": "policy", "prompt_format": "mini", "version": ""} | settings
    with pytest.raises(InvalidInput) as refused:
        await upload_checkpoint(store, source, **whole)
    assert field in refused.value.field

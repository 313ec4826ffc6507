"""What a worker is told, where what is promoted changes while its job is carried out."""

from __future__ import annotations

from pathlib import Path

import pytest

from rstar_common.checkpoints import Manifest, describe, publish
from rstar_common.errors import InvalidInput
from rstar_trainer.orders import WorkerLimits, work_order
from rstar_trainer.promotion import Registry
from rstar_trainer.spec import PpmSpec

LIMITS = WorkerLimits(threads=1, processes=1, state_seconds=20.0, device="cpu", precision="float32")


async def published(registry: Registry, directory: Path, weights: str) -> Manifest:
    manifest = written(directory, weights)
    await publish(registry.store, directory, manifest)
    return manifest


def written(directory: Path, weights: str) -> Manifest:
    directory.mkdir()
    (directory / "model.safetensors").write_text(weights)
    return describe(
        directory, model="policy", prompt_format="mini", metrics={"agreement_filter": 1.0}
    )


async def test_a_job_goes_on_from_what_it_began_with_whatever_is_promoted_since(
    registry: Registry, tmp_path: Path
):
    first = await published(registry, tmp_path / "first", "first")
    second = await published(registry, tmp_path / "second", "second")
    spec, bases = PpmSpec(batch_ids=("b",)), tmp_path / "bases"
    await registry.promote(first)
    begun = await work_order(spec, registry, bases=bases, limits=LIMITS)
    assert (begun.parents, begun.agreement_filter) == ((first.version,), True)
    await registry.promote(second)
    again = await work_order(spec, registry, bases=bases, limits=LIMITS, begun=begun)
    assert again == begun
    assert Path(again.base).name == first.version
    new = await work_order(spec, registry, bases=bases, limits=LIMITS)
    assert new.parents == (second.version,)


async def test_a_base_that_is_not_there_is_named(registry: Registry, tmp_path: Path):
    spec = PpmSpec(batch_ids=("b",), policy_version="policy-gone")
    with pytest.raises(InvalidInput, match="no policy checkpoint policy-gone"):
        await work_order(spec, registry, bases=tmp_path, limits=LIMITS)

"""What is served while a run lasts and when it has ended.

A run puts its candidates where everybody, or a channel, is served them: to search, and to be
measured. It remembers what was there before.
"""

from __future__ import annotations

import logging

from rstar.v1 import evolution_pb2
from rstar_common import checkpoints
from rstar_common.checkpoints import Manifest, Model
from rstar_common.errors import RstarError, Unavailable
from rstar_trainer.promotion import Registry

logger = logging.getLogger(__name__)


def is_in_place(run: evolution_pb2.Run) -> bool:
    """Whether candidates of a run may be served, and something is to be put back."""
    return run.HasField("policy_before")


async def take_place(registry: Registry, run: evolution_pb2.Run) -> None:
    """Note in `run` what is served before its first candidate is put in place."""
    if not is_in_place(run):
        run.policy_before = await registry.promoted_or_none("policy")
        run.ppm_before = await registry.promoted_or_none("ppm")


async def leave_place(registry: Registry, run: evolution_pb2.Run) -> None:
    """Put back what is to stay, once; what cannot be put back is left to whoever promotes next.

    Raises:
        Unavailable: the store or the queue is away; it may be done again.
    """
    if not is_in_place(run):
        return
    try:
        await put_back(registry, run)
    except Unavailable:
        raise
    except RstarError as error:
        logger.warning("run %s: its candidates are served still: %s", run.run_id, error)
    run.ClearField("policy_before")
    run.ClearField("ppm_before")


async def manifest_of(registry: Registry, model: Model, version: str) -> Manifest:
    """The manifest of a version that is in the store."""
    return await checkpoints.read_manifest(registry.store, model, version)


async def best_of(registry: Registry, run: evolution_pb2.Run) -> list[Manifest]:
    """What a run holds to be best; before it has made a PPM, the one there was.

    The models that a branch took over, or that a run made before it was asked for more rounds, are
    for its searches: what was served when it began, or went on, stays until a later round's are
    promoted.
    """
    policy, ppm = run.policy_version, run.ppm_version or run.ppm_before
    first = max(run.branch.round, run.went_further_at)
    if not any(report.promoted for report in run.rounds[first:]):
        policy, ppm = run.policy_before, run.ppm_before
    versions: list[tuple[Model, str]] = [("policy", policy), ("ppm", ppm)]
    return [await manifest_of(registry, model, name) for model, name in versions if name]


async def put_back(registry: Registry, run: evolution_pb2.Run) -> None:
    """Put in place what a run holds to be best: its rounds put others there to search and measure.

    Where candidates have a channel of their own, nothing changes for anybody else.
    """
    for manifest in await best_of(registry, run):
        await registry.place(manifest)


async def promote_best(registry: Registry, run: evolution_pb2.Run) -> None:
    """Have everybody served with what a run holds to be best."""
    for manifest in await best_of(registry, run):
        await registry.promote(manifest)

"""What is served while a run lasts and when it has ended.

A run puts its candidates where everybody, or a channel, is served them: to search, and to be
measured. It remembers what was there before.
"""

from __future__ import annotations

from rstar.v1 import evolution_pb2
from rstar_common import checkpoints
from rstar_common.checkpoints import BOOTSTRAP, Manifest, Model
from rstar_trainer.promotion import Registry


def remember_served(run: evolution_pb2.Run, *, policy: str, ppm: str) -> None:
    """Note in `run` what it puts back: what is promoted now, unless that is its own candidate.

    It may have been killed, or have failed, while one of these was in place.
    """
    policies, ppms = set[str](), set[str]()
    for made in run.rounds:
        policies |= {made.search_policy, made.policy_version}
        ppms |= {made.search_ppm, made.ppm_version}
    for asked in run.recipe.rounds:
        policies |= {asked.search_policy, asked.policy_version}
        policies |= {BOOTSTRAP} if asked.second_bootstrap else set()
        ppms |= {asked.search_ppm, asked.ppm_version}
    if not run.policy_before or policy not in policies:
        run.policy_before = policy
    if not run.ppm_before or ppm not in ppms:
        run.ppm_before = ppm


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

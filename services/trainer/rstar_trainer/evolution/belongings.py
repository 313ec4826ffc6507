"""What belongs to a run in the object store: problems, trees, data sets, checkpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from rstar.v1 import evolution_pb2
from rstar_common.artifacts import DATASETS, ObjectStore, trees_prefix
from rstar_common.checkpoints import BOOTSTRAP, PREFIX
from rstar_trainer.evolution.problems import run_prefix
from rstar_trainer.evolution.rules import ordered_batches


@dataclass(frozen=True, slots=True)
class Belongings:
    """Where the objects of a run are."""

    keys: Collection[str]
    prefixes: Collection[str]
    batches: Collection[str]
    """Prefixes of trees, which are among `prefixes`."""

    @classmethod
    def of(cls, run: evolution_pb2.Run) -> Belongings:
        """Those of a record."""
        recipe = run.recipe
        keys = [pool.problems_key for pool in recipe.pools]
        keys += [one.problems_key for one in recipe.evaluation_sets]
        batches: list[str] = []
        # What the next round, or a round that failed, begins with.
        versions = [("policy", run.policy_version), ("ppm", run.ppm_version)]
        # What it asks for and others made, of rounds not begun too: all is looked for when it
        # goes on.
        for round_ in recipe.rounds:
            keys.append(round_.problems_of)
            batches += round_.batch_ids
            versions += [
                *(("policy", round_.policy_version), ("ppm", round_.ppm_version)),
                *(("policy", round_.search_policy), ("ppm", round_.search_ppm)),
                ("policy", round_.policy.base),
            ]
        # A batch is written into the record when it is done; trees of one that is not are kept.
        batches += ordered_batches(run)
        for report in run.rounds:
            keys.append(report.problems_key)  # perhaps of a run that this one branched from
            batches += [report.batch_id, report.second_batch_id]
            batches += [made.batch_id for made in report.evaluations]
            versions += [
                *(("policy", report.policy_version), ("ppm", report.ppm_version)),
                *(("policy", report.search_policy), ("ppm", report.search_ppm)),
            ]
        trees = [trees_prefix(batch_id) for batch_id in batches if batch_id]
        made = [
            prefix
            for model, version in versions
            if version not in ("", BOOTSTRAP)
            for prefix in (f"{PREFIX}{model}/{version}/", f"{DATASETS}{version}/")
        ]
        return cls(
            keys=dict.fromkeys(filter(None, keys)),
            prefixes=dict.fromkeys([run_prefix(run.run_id), *trees, *made]),
            batches=dict.fromkeys(trees),
        )

    def have(self, key: str) -> bool:
        """Whether an object of this key is the run's."""
        return key in self.keys or key.startswith(tuple(self.prefixes))


async def run_keys(store: ObjectStore, run: evolution_pb2.Run) -> AsyncIterator[str]:
    """Keys of every object of a run, each once."""
    belongings = Belongings.of(run)
    told: set[str] = set()
    for key in belongings.keys:
        told.add(key)
        yield key
    for prefix in belongings.prefixes:
        async for key in store.keys(prefix):
            if key not in told:
                told.add(key)
                yield key

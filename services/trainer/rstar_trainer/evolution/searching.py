"""The searches of a round: its problems chosen, searched, and what stayed unsolved once more.

Every step can be done again: problems are written down before they are searched, batches
have names that follow from the run, and outcomes are counted once and kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.artifacts import dataset_key
from rstar_common.checkpoints import BOOTSTRAP
from rstar_common.errors import InvalidInput, NotFound
from rstar_trainer.dataset import SYNTHETIC
from rstar_trainer.evolution.measuring import add_cost, shares
from rstar_trainer.evolution.orders import Orders, Tell
from rstar_trainer.evolution.past import past_results
from rstar_trainer.evolution.problems import (
    PastResult,
    PoolProblem,
    choose,
    label_of,
    level_of,
    run_prefix,
)
from rstar_trainer.evolution.progress import part_of_phase
from rstar_trainer.evolution.rules import SEARCH, SECOND, second_settings, seeded
from rstar_trainer.evolution.tiers import Tiers
from rstar_trainer.lessons import REFUSED
from rstar_trainer.promotion import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The problems of a run."""

    problems: Sequence[PoolProblem]
    sets: Mapping[str, Sequence[types_pb2.Problem]]
    excluded: frozenset[str]


class Searching:
    """Chooses and searches the problems of one run's rounds."""

    def __init__(
        self, tiers: Tiers, registry: Registry, orders: Orders, material: Material, tell: Tell
    ) -> None:
        self._tiers = tiers
        self._store = registry.store
        self._orders = orders
        self._material = material
        self._tell = tell
        self._by_id = {one.id: one for one in material.problems}

    async def choose(self, run: evolution_pb2.Run) -> None:
        """Write down which problems the last round searches."""
        self._tell("choosing problems", 0.0)
        report = run.rounds[-1]
        past: dict[str, PastResult] = {}
        for earlier in list(run.rounds)[:-1]:
            past |= await self._outcomes(run, earlier)
        round_ = run.recipe.rounds[report.round]
        if round_.problems_of:
            ids = (await self._store.get(round_.problems_of)).decode().splitlines()
        else:
            refused = await self._refused(run)
            chosen = choose(round_, self._material.problems, past, self._material.excluded, refused)
            ids = [one.id for one in chosen]
        if not ids:
            raise InvalidInput("no problem is left to search", field=f"rounds[{report.round}]")
        report.problems = len(ids)
        report.problems_key = f"{run_prefix(run.run_id)}round-{report.round}/problems.txt"
        await self._store.put(report.problems_key, "".join(f"{one}\n" for one in ids).encode())

    async def search(self, run: evolution_pb2.Run, planned: evolution_pb2.PlannedRound) -> None:
        """Search the problems of the last round, as its recipe says, and count what came of it."""
        report = run.rounds[-1]
        round_ = run.recipe.rounds[report.round]
        ids = (await self._store.get(report.problems_key)).decode().splitlines()
        taken_over = run.HasField("branch") and run.branch.round == report.round
        if not taken_over:
            await self._order_first(run, planned, ids)
            if round_.HasField("second_search"):
                await self._order_second(run, planned, ids)
        past = await self._outcomes(run, report)
        solved = {name for name, one in past.items() if one.right}
        report.solved = len(solved)
        report.solved_by_label.update(self._solved_by(ids, solved, label_of))
        report.solved_by_level.update(self._solved_by(ids, solved, level_of))

    async def _order_first(
        self, run: evolution_pb2.Run, planned: evolution_pb2.PlannedRound, ids: Sequence[str]
    ) -> None:
        report = run.rounds[-1]
        begins, part = part_of_phase(planned.each_search_seconds, 0)
        # After a death in the second search its proposer stays in place.
        if not await self._orders.is_done(run, SEARCH):
            await self._serve(report, report.search_policy)
        batch = await self._orders.searched(
            run,
            SEARCH,
            f"searching {len(ids)} problems",
            self._problems(ids),
            seeded(run.recipe.rounds[report.round].search, run.recipe, report.round),
            begins=begins,
            part=part,
        )
        report.batch_id, report.dead = batch.batch_id, batch.dead
        report.ClearField("search_cost")  # a phase may begin again
        await self._add_costs(report.search_cost, report.batch_id)

    async def _serve(self, report: evolution_pb2.RoundReport, policy: str) -> None:
        await self._orders.serve("policy", policy)
        if report.search_ppm:
            await self._orders.serve("ppm", report.search_ppm)

    async def _order_second(
        self, run: evolution_pb2.Run, planned: evolution_pb2.PlannedRound, ids: Sequence[str]
    ) -> None:
        report = run.rounds[-1]
        round_ = run.recipe.rounds[report.round]
        begins, part = part_of_phase(planned.each_search_seconds, 1)
        past = await self._outcomes(run, report)
        left = [name for name in ids if name not in past or not past[name].right]
        report.second_problems = len(left)
        if not left:
            return
        if round_.second_bootstrap:
            report.second_policy = BOOTSTRAP
        # A run that failed in between put back what was served before.
        await self._serve(report, report.second_policy or report.search_policy)
        batch = await self._orders.searched(
            run,
            SECOND,
            f"searching {len(left)} problems once more",
            self._problems(left),
            second_settings(round_, run.recipe, report.round),
            begins=begins,
            part=part,
        )
        report.second_batch_id = batch.batch_id
        report.dead += batch.dead
        await self._add_costs(report.search_cost, batch.batch_id)
        past = await self._outcomes(run, report)
        report.second_solved = sum(name in past and past[name].right > 0 for name in left)

    async def _add_costs(self, total: types_pb2.Cost, batch_id: str) -> None:
        async for result in self._tiers.each_result(batch_id):
            add_cost(total, result.result.cost)

    def _solved_by(
        self,
        ids: Sequence[str],
        solved: Collection[str],
        of: Callable[[Mapping[str, str]], str],
    ) -> dict[str, float]:
        outcomes: dict[str, list[bool]] = defaultdict(list)
        for name in ids:
            if label := of(self._by_id[name].problem.labels):
                outcomes[label].append(name in solved)
        return shares(outcomes)

    def _problems(self, ids: Sequence[str]) -> list[types_pb2.Problem]:
        return [published(self._by_id[name]) for name in ids]

    async def _refused(self, run: evolution_pb2.Run) -> list[str]:
        """Problems solved by chance, as agreement said when the run's last policy was trained."""
        trained = [one.policy_version for one in run.rounds if one.policy_job]
        if not trained:
            return []
        try:
            return (await self._store.get(dataset_key(trained[-1], REFUSED))).decode().splitlines()
        except NotFound:  # of a release ago, or removed since
            return []

    async def _outcomes(
        self, run: evolution_pb2.Run, report: evolution_pb2.RoundReport
    ) -> dict[str, PastResult]:
        """What the searches of a round gave, first and second together."""
        prefix = f"{run_prefix(run.run_id)}round-{report.round}/"
        if not report.batch_id:
            return {}
        found = await past_results(self._store, report.batch_id, f"{prefix}outcomes.json")
        if report.second_batch_id:
            key = f"{prefix}second-outcomes.json"
            second = await past_results(self._store, report.second_batch_id, key)
            found |= {name: one + found.get(name, NOTHING) for name, one in second.items()}
        return found


def published(one: PoolProblem) -> types_pb2.Problem:
    """A problem as it is searched: one that a model made says so, and its tree will."""
    problem = types_pb2.Problem()
    problem.CopyFrom(one.problem)
    if one.synthetic:
        problem.labels[SYNTHETIC] = "true"
    return problem


NOTHING = PastResult(right=0, answered=0)

"""Drives every run that has not ended: one task a run, one phase after another.

The record is written after each phase. A trainer that dies in a phase does the phase again
when it is back, and finds the batch it published and the job it submitted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from rstar.v1 import evolution_pb2
from rstar_common.errors import Conflict, InvalidInput, RstarError, Unavailable
from rstar_common.rpc import failure_of
from rstar_trainer.evolution.checks import check_recipe, check_run_name
from rstar_trainer.evolution.contamination import contaminated
from rstar_trainer.evolution.estimate import phase_name, plan_rounds, progress, seconds_left
from rstar_trainer.evolution.problems import PoolProblem, read_set
from rstar_trainer.evolution.rounds import Material, Rounds
from rstar_trainer.evolution.store import ENDED, RunStore
from rstar_trainer.evolution.tiers import Tiers
from rstar_trainer.job_store import JobStore
from rstar_trainer.promotion import Registry

logger = logging.getLogger(__name__)

RETRY_SECONDS = 3.0
"""Pause before a phase is tried again whose store, queue or service is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A recipe that can be carried out, and its problems."""

    material: Material
    plan: list[evolution_pb2.PlannedRound]
    matches: list[evolution_pb2.Contaminated]


class Evolution:
    """The component that carries runs out."""

    def __init__(
        self,
        runs: RunStore,
        registry: Registry,
        jobs: JobStore,
        tiers: Callable[[], AbstractAsyncContextManager[Tiers]],
    ) -> None:
        self._runs = runs
        self._registry = registry
        self._jobs = jobs
        self._tiers = tiers
        self._drivers: dict[str, asyncio.Task[None]] = {}
        self._wanted = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Drive runs until `stop`; what is unfinished goes on next time."""
        async with asyncio.TaskGroup() as group:
            starter = group.create_task(self._start_drivers(group))
            await stop.wait()
            self._runs.close()
            starter.cancel()
            for driver in self._drivers.values():
                driver.cancel()

    async def prepare(self, recipe: evolution_pb2.Recipe) -> Prepared:
        """Check a recipe and read its problems.

        Raises:
            InvalidInput: naming the field at fault.
        """
        check_recipe(recipe)
        store = self._registry.store
        problems: list[PoolProblem] = []
        pool_sizes: dict[str, int] = {}
        for index, pool in enumerate(recipe.pools):
            members = await read_set(store, pool.problems_key, where=f"pools[{index}]")
            pool_sizes[pool.name] = len(members)
            problems += [
                PoolProblem(pool=pool.name, problem=one, synthetic=pool.synthetic)
                for one in members
            ]
        ids = [one.id for one in problems]
        if len(set(ids)) < len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise InvalidInput(f"{twice} is in two pools", field="pools")
        sets = {
            one.name: await read_set(store, one.problems_key, where=f"evaluation_sets[{index}]")
            for index, one in enumerate(recipe.evaluation_sets)
        }
        matches = await asyncio.to_thread(
            contaminated, problems, sets, ngram=recipe.decontamination.ngram
        )
        _check_overlap(recipe, pool_sizes, matches)
        if recipe.decontamination.refuse and matches:
            first = matches[0]
            raise InvalidInput(
                f"{len(matches)} training problems resemble evaluation problems; the first: "
                f"{first.problem_id} and {first.evaluation_problem_id}",
                field="decontamination.refuse",
            )
        return Prepared(
            material=Material(
                problems=problems, sets=sets, excluded=frozenset(m.problem_id for m in matches)
            ),
            plan=plan_rounds(recipe, pool_sizes, {name: len(each) for name, each in sets.items()}),
            matches=[
                evolution_pb2.Contaminated(
                    pool=match.pool,
                    problem_id=match.problem_id,
                    evaluation_set=match.evaluation_set,
                    evaluation_problem_id=match.evaluation_problem_id,
                    how=match.how,
                )
                for match in matches
            ],
        )

    async def start(self, run_id: str, recipe: evolution_pb2.Recipe) -> evolution_pb2.Run:
        """Begin a run, or return the one of this name; one that failed is tried again.

        Raises:
            Conflict: another recipe has this name.
            InvalidInput: the recipe cannot be carried out.
        """
        check_run_name(run_id, field="run_id")
        prepared = await self.prepare(recipe)
        run = evolution_pb2.Run(
            run_id=run_id,
            state=evolution_pb2.RUN_STATE_RUNNING,
            recipe=recipe,
            recipe_digest=hashlib.sha256(recipe.SerializeToString(deterministic=True)).hexdigest(),
            stage="waiting",
            contaminated=prepared.matches,
        )
        run.created_at.GetCurrentTime()
        added = await self._runs.add(run)
        if added.state == evolution_pb2.RUN_STATE_FAILED:
            self._drivers.pop(run_id, None)
            added.state = evolution_pb2.RUN_STATE_RUNNING
            added.attempts += 1
            added.ClearField("failure")
            added.ClearField("finished_at")
            await self._runs.save(added)
        self._wanted.set()
        return added

    async def cancel(self, run_id: str) -> evolution_pb2.Run:
        """End a run; ending one that has ended changes nothing."""
        run = self._runs.get(run_id)
        if run.state in ENDED:
            return run
        if driver := self._drivers.pop(run_id, None):
            driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await driver
        run = self._runs.get(run_id)
        run.state = evolution_pb2.RUN_STATE_CANCELLED
        run.stage = "cancelled"
        run.finished_at.GetCurrentTime()
        await self._runs.save(run)
        async with self._tiers() as tiers:
            for report in run.rounds:
                with contextlib.suppress(RstarError):
                    await tiers.cancel_batch(report.batch_id)
        return run

    async def _start_drivers(self, group: asyncio.TaskGroup) -> None:
        while True:
            for run in self._runs.all():
                if run.state not in ENDED and run.run_id not in self._drivers:
                    self._drivers[run.run_id] = group.create_task(self._drive(run.run_id))
            self._wanted.clear()
            await self._wanted.wait()

    async def _drive(self, run_id: str) -> None:
        while self._runs.get(run_id).state not in ENDED:
            try:
                await self._carry_out(run_id)
            except Conflict as error:
                logger.warning("run %s: %s", run_id, error)
                return
            except Unavailable as error:
                logger.warning("run %s waits: %s", run_id, error)
                await asyncio.sleep(RETRY_SECONDS)
            except RstarError as error:
                logger.error("run %s failed: %s", run_id, error)
                await self._end(run_id, evolution_pb2.RUN_STATE_FAILED, error)

    async def _carry_out(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        prepared = await self.prepare(run.recipe)
        async with self._tiers() as tiers:

            def tell(stage: str, share: float) -> None:
                report = run.rounds[-1]
                self._runs.note(
                    run_id,
                    stage=f"round {report.round}: {stage}",
                    progress=progress(prepared.plan, run, share),
                    seconds_left=seconds_left(prepared.plan, run, share),
                )

            rounds = Rounds(tiers, self._registry, self._jobs, prepared.material, tell)
            while not _finished(run):
                await rounds.advance(run)
                report = run.rounds[-1]
                run.stage = f"round {report.round}: {phase_name(report.phase)}"
                run.progress = progress(prepared.plan, run, 0.0)
                run.seconds_left = seconds_left(prepared.plan, run, 0.0)
                await self._runs.save(run)
        await self._end(run_id, evolution_pb2.RUN_STATE_SUCCEEDED, None)

    async def _end(
        self, run_id: str, state: evolution_pb2.RunState.ValueType, error: RstarError | None
    ) -> None:
        run = self._runs.get(run_id)
        run.state = state
        run.finished_at.GetCurrentTime()
        run.seconds_left = 0.0
        if error is not None:
            run.failure.CopyFrom(failure_of(error, service="trainer"))
        else:
            run.progress = 1.0
            run.stage = "done"
        await self._runs.save(run)


def _finished(run: evolution_pb2.Run) -> bool:
    done = sum(report.phase == evolution_pb2.ROUND_PHASE_DONE for report in run.rounds)
    return done == len(run.recipe.rounds)


def _check_overlap(
    recipe: evolution_pb2.Recipe,
    pool_sizes: Mapping[str, int],
    matches: list,  # type: ignore[type-arg]
) -> None:
    """Refuse an evaluation set that lies inside a training pool.

    Raises:
        InvalidInput: naming the set.
    """
    keys = {pool.problems_key: pool.name for pool in recipe.pools}
    for index, one in enumerate(recipe.evaluation_sets):
        inside = keys.get(one.problems_key)
        same = [match for match in matches if match.evaluation_set == one.name]
        covered = {match.evaluation_problem_id for match in same if match.how == "text"}
        if inside is None and covered:
            largest = max(pool_sizes.values())
            inside = None if len(same) < largest else same[0].pool
        if inside is not None:
            raise InvalidInput(
                f"{one.name} lies inside the training pool {inside}",
                field=f"evaluation_sets[{index}].path",
            )

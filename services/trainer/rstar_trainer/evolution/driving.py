"""Carries a run out: one phase after another, until it has ended.

The record is written after each phase. A trainer that dies in a phase does the phase again
when it is back, and finds the batch it published and the job it submitted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from rstar.v1 import evolution_pb2
from rstar_common.errors import DeadlineExceeded, Overloaded, RstarError, Unavailable
from rstar_common.rpc import failure_of
from rstar_trainer.evolution.phase_clock import PhaseClock
from rstar_trainer.evolution.preparation import prepare
from rstar_trainer.evolution.progress import phase_name, progress, seconds_left
from rstar_trainer.evolution.rounds import Rounds
from rstar_trainer.evolution.serving import put_back, remember_served
from rstar_trainer.evolution.store import ENDED, DrivenElsewhere, RunStore
from rstar_trainer.evolution.tiers import Tiers
from rstar_trainer.job_store import JobStore
from rstar_trainer.promotion import Registry

logger = logging.getLogger(__name__)

RETRY_SECONDS = 3.0
"""Pause before a phase is tried again whose store, queue or service is away, slow or full."""


class Driver:
    """Drives runs, one at a time."""

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

    async def drive(self, run_id: str) -> None:
        """Carry a run out until it has ended, or somebody else does."""
        noted = False
        while self._runs.get(run_id).state not in ENDED:
            try:
                if not noted:
                    await self._remember_served(run_id)
                    noted = True
                await self._carry_out(run_id)
            except DrivenElsewhere as error:
                logger.warning("run %s: %s", run_id, error)
                return
            except (Unavailable, DeadlineExceeded, Overloaded) as error:
                logger.warning("run %s waits: %s", run_id, error)
                await asyncio.sleep(RETRY_SECONDS)
            except RstarError as error:
                logger.error("run %s failed: %s", run_id, error)
                await self._end(run_id, evolution_pb2.RUN_STATE_FAILED, error)
                return  # it may be asked for again already, and has another driver then

    async def _remember_served(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        policy = await self._registry.promoted_or_none("policy")
        remember_served(run, policy=policy, ppm=await self._registry.promoted_or_none("ppm"))
        await self._runs.save(run)

    async def _carry_out(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        prepared = await prepare(self._registry, run.recipe, run.branch, policy=run.policy_version)
        clock = PhaseClock(run.rounds[-1].phase_seconds if run.rounds else 0.0)
        async with self._tiers() as tiers:

            def tell(stage: str, share: float) -> None:
                report = run.rounds[-1]
                report.phase_seconds = clock.beat()
                self._runs.note(
                    run_id,
                    stage=f"round {report.round}: {stage}",
                    progress=progress(prepared.plan, run, share),
                    seconds_left=seconds_left(prepared.plan, run, share),
                )

            rounds = Rounds(tiers, self._registry, self._jobs, prepared.material, clock, tell)
            while not _finished(run):
                await clock.watch(
                    rounds.advance(run), write=partial(self._runs.save_seconds, run_id)
                )
                report = run.rounds[-1]
                run.stage = f"round {report.round}: {phase_name(report.phase)}"
                measured = len(report.evaluations)
                asked = len(run.recipe.rounds[report.round].evaluations)
                evaluating = report.phase == evolution_pb2.ROUND_PHASE_EVALUATING
                share = measured / asked if evaluating and asked else 0.0
                run.progress = progress(prepared.plan, run, share)
                run.seconds_left = seconds_left(prepared.plan, run, share)
                await self._runs.save(run)
        await self._end(run_id, evolution_pb2.RUN_STATE_SUCCEEDED, None)

    async def _end(
        self, run_id: str, state: evolution_pb2.RunState.ValueType, error: RstarError | None
    ) -> None:
        run = self._runs.get(run_id)
        if error is not None:
            try:
                await put_back(self._registry, run)
            except RstarError as failure:
                logger.warning("run %s: its candidates are served still: %s", run_id, failure)
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

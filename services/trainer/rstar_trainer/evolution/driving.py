"""Carries a run out: one phase after another, until it has ended.

The record is written after each phase. A trainer that dies in a phase does the phase again
when it is back, and finds the batch it published and the job it submitted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from rstar.v1 import evolution_pb2
from rstar_common.errors import DeadlineExceeded, Overloaded, RstarError, Unavailable
from rstar_common.rpc import failure_of
from rstar_trainer.evolution.phase_clock import PhaseClock
from rstar_trainer.evolution.preparation import prepare
from rstar_trainer.evolution.progress import (
    part_of_phase,
    phase_name,
    progress,
    seconds_left,
)
from rstar_trainer.evolution.rounds import Rounds
from rstar_trainer.evolution.rules import ordered_batches, ordered_jobs
from rstar_trainer.evolution.serving import is_in_place, leave_place, take_place
from rstar_trainer.evolution.store import ENDED, DrivenElsewhere, RunStore
from rstar_trainer.evolution.tiers import Tiers
from rstar_trainer.job_store import JobStore
from rstar_trainer.promotion import Registry

logger = logging.getLogger(__name__)

RETRY_SECONDS = 3.0
"""Pause before a phase is tried again whose store, queue or service is away, slow or full."""


class Driver:
    """Drives runs, one at a time, and withdraws them."""

    def __init__(
        self,
        runs: RunStore,
        registry: Registry,
        jobs: JobStore,
        tiers: Callable[[], AbstractAsyncContextManager[Tiers]],
        cancel_job: Callable[[str], Awaitable[object]],
    ) -> None:
        self._runs = runs
        self._registry = registry
        self._jobs = jobs
        self._tiers = tiers
        self._cancel_job = cancel_job

    async def drive(self, run_id: str) -> None:
        """Carry a run out until it has ended, or somebody else does.

        What goes wrong ends the run and not the trainer, whether we have a name for it or not.
        """
        failure: Exception | None = None
        while self._runs.get(run_id).state not in ENDED:
            try:
                if failure is not None:
                    await self._end(run_id, evolution_pb2.RUN_STATE_FAILED, failure)
                    return
                await self._take_place(run_id)
                await self._carry_out(run_id)
            except DrivenElsewhere as error:
                logger.warning("run %s: %s", run_id, error)
                return
            except (Unavailable, DeadlineExceeded, Overloaded) as error:
                logger.warning("run %s waits: %s", run_id, error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:
                if isinstance(error, RstarError):
                    logger.error("run %s failed: %s", run_id, error)
                else:
                    logger.exception("run %s failed", run_id)
                if failure is not None:  # it cannot even be ended
                    await asyncio.sleep(RETRY_SECONDS)
                failure = error

    async def withdraw(self, run_id: str) -> None:
        """End a run that is cancelled: its record, then what it ordered and put in place.

        What was never ordered, or has ended, is not found: nothing is left to do for it.
        """
        run = self._runs.get(run_id)
        if run.state not in ENDED:
            run.state = evolution_pb2.RUN_STATE_CANCELLED
            run.stage = "cancelled"
            run.finished_at.GetCurrentTime()
            run.seconds_left = 0.0
            await self._runs.save(run)
        async with self._tiers() as tiers:
            for batch_id in ordered_batches(run):
                with contextlib.suppress(RstarError):
                    await tiers.cancel_batch(batch_id)
        for job_id in ordered_jobs(run):
            with contextlib.suppress(RstarError):
                await self._cancel_job(job_id)
        await leave_place(self._registry, run)
        await self._runs.save(run)

    async def _take_place(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if not is_in_place(run):
            await take_place(self._registry, run)
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

            rounds = Rounds(tiers, self._registry, self._jobs, prepared, clock, tell)
            while not _finished(run):
                await clock.watch(
                    rounds.advance(run), write=partial(self._runs.save_seconds, run_id)
                )
                report = run.rounds[-1]
                run.stage = f"round {report.round}: {phase_name(report.phase)}"
                share = 0.0
                if report.phase == evolution_pb2.ROUND_PHASE_EVALUATING:
                    parts = prepared.plan[report.round].each_evaluation_seconds
                    share, _ = part_of_phase(parts, len(report.evaluations))
                run.progress = progress(prepared.plan, run, share)
                run.seconds_left = seconds_left(prepared.plan, run, share)
                await self._runs.save(run)
        await self._end(run_id, evolution_pb2.RUN_STATE_SUCCEEDED, None)

    async def _end(
        self, run_id: str, state: evolution_pb2.RunState.ValueType, error: Exception | None
    ) -> None:
        run = self._runs.get(run_id)
        await leave_place(self._registry, run)
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

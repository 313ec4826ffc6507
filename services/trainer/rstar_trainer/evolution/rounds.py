"""One round, phase by phase. Every phase can be done again and changes nothing then.

Batch ids, job ids and object keys are functions of the run's and the round's names, so a
phase that is repeated after a death finds what it made. What a phase learns is written
into the round's report, which the controller stores before the next phase begins.
"""

from __future__ import annotations

from rstar.v1 import evolution_pb2, trainer_pb2, types_pb2
from rstar_common.checkpoints import BOOTSTRAP
from rstar_common.spread import spread
from rstar_trainer.evolution.measuring import measure
from rstar_trainer.evolution.orders import Orders, Tell
from rstar_trainer.evolution.phase_clock import PhaseClock
from rstar_trainer.evolution.preparation import Prepared
from rstar_trainer.evolution.problems import PoolProblem
from rstar_trainer.evolution.progress import part_of_phase, phase_name
from rstar_trainer.evolution.rules import (
    SEARCH,
    batch_names,
    compared_batches,
    evaluation_keys,
    evaluation_name,
    failed_gates,
    job_name,
    learned_batches,
    measured_policy,
    measured_ppm,
    origin,
    seeded,
    trained_policy,
    unanswered,
)
from rstar_trainer.evolution.searching import Searching
from rstar_trainer.evolution.serving import promote_best, put_back
from rstar_trainer.evolution.tiers import Tiers
from rstar_trainer.job_store import JobStore
from rstar_trainer.promotion import Registry

Phase = evolution_pb2.RoundPhase


class Rounds:
    """Carries the phases of one run's rounds out."""

    def __init__(
        self,
        tiers: Tiers,
        registry: Registry,
        jobs: JobStore,
        prepared: Prepared,
        clock: PhaseClock,
        tell: Tell,
    ) -> None:
        self._tiers = tiers
        self._registry = registry
        self._material = prepared.material
        self._plan = prepared.plan
        self._clock = clock
        self._tell = tell
        self._orders = Orders(tiers, registry, jobs, tell)
        self._searching = Searching(tiers, registry, self._orders, prepared.material, tell)

    async def advance(self, run: evolution_pb2.Run) -> None:
        """Carry out the phase the run is in, and write what came of it into `run`."""
        # What was promoted when the run began is what its first round starts from.
        run.policy_version = run.policy_version or run.policy_before
        if not run.rounds or run.rounds[-1].phase == Phase.ROUND_PHASE_DONE:
            self._begin(run)
        report = run.rounds[-1]
        round_ = run.recipe.rounds[report.round]
        match report.phase:
            case Phase.ROUND_PHASE_PREPARING:
                await self._prepare(run, round_)
                self._next(report, Phase.ROUND_PHASE_SEARCHING)
            case Phase.ROUND_PHASE_SEARCHING:
                if not round_.batch_ids:
                    await self._searching.search(run, self._plan[report.round])
                self._next(report, Phase.ROUND_PHASE_TRAINING_POLICY)
            case Phase.ROUND_PHASE_TRAINING_POLICY:
                if round_.HasField("policy"):
                    await self._train_policy(run, round_, report)
                self._next(report, Phase.ROUND_PHASE_TRAINING_PPM)
            case Phase.ROUND_PHASE_TRAINING_PPM:
                if round_.HasField("ppm"):
                    await self._train_ppm(run, round_, report)
                self._next(report, Phase.ROUND_PHASE_EVALUATING)
            case Phase.ROUND_PHASE_EVALUATING:
                if len(report.evaluations) < len(round_.evaluations):
                    await self._evaluate(run, round_, report)
                else:
                    self._next(report, Phase.ROUND_PHASE_DECIDING)
            case Phase.ROUND_PHASE_DECIDING:
                await self._decide(run, round_, report)
                self._next(report, Phase.ROUND_PHASE_DONE)

    def _begin(self, run: evolution_pb2.Run) -> None:
        report = run.rounds.add(round=len(run.rounds), phase=Phase.ROUND_PHASE_PREPARING)
        round_ = run.recipe.rounds[report.round]
        report.name = round_.name
        if not round_.batch_ids:
            [report.batch_id, *_] = batch_names(run, SEARCH)

    def _next(
        self, report: evolution_pb2.RoundReport, phase: evolution_pb2.RoundPhase.ValueType
    ) -> None:
        spent = self._clock.end_phase()
        name = phase_name(report.phase)
        if name not in report.seconds:  # what a branch took over has its own
            report.seconds[name] = round(spent, 3)
        report.phase = phase
        report.phase_seconds = 0.0

    async def _prepare(self, run: evolution_pb2.Run, round_: evolution_pb2.Round) -> None:
        if round_.batch_ids:
            return
        report = run.rounds[-1]
        best = round_.search_policy or run.policy_version
        report.search_policy = BOOTSTRAP if round_.bootstrap else best
        report.search_ppm = round_.search_ppm or run.ppm_version
        await self._searching.choose(run)

    async def _train_policy(
        self,
        run: evolution_pb2.Run,
        round_: evolution_pb2.Round,
        report: evolution_pb2.RoundReport,
    ) -> None:
        report.policy_job = job_name(run, report, "policy")
        job = trainer_pb2.SubmitJobRequest(
            job_id=report.policy_job, train_policy=round_.policy, origin=origin(run, report)
        )
        job.train_policy.batch_ids.extend(learned_batches(run, round_))
        job.train_policy.evaluation_keys.extend(evaluation_keys(run))
        job.train_policy.training.seed = job.train_policy.training.seed or run.recipe.seed
        record = await self._orders.job(job, "training the policy")
        report.policy_version = record.checkpoint_version
        report.policy_metrics.update(record.metrics)

    async def _train_ppm(
        self,
        run: evolution_pb2.Run,
        round_: evolution_pb2.Round,
        report: evolution_pb2.RoundReport,
    ) -> None:
        report.ppm_job = job_name(run, report, "ppm")
        job = trainer_pb2.SubmitJobRequest(
            job_id=report.ppm_job, train_ppm=round_.ppm, origin=origin(run, report)
        )
        job.train_ppm.batch_ids.extend(compared_batches(run, round_))
        job.train_ppm.evaluation_keys.extend(evaluation_keys(run))
        job.train_ppm.policy_version = trained_policy(run, round_, report)
        job.train_ppm.training.seed = job.train_ppm.training.seed or run.recipe.seed
        record = await self._orders.job(job, "training the PPM")
        report.ppm_version = record.checkpoint_version
        report.ppm_metrics.update(record.metrics)

    async def _evaluate(
        self,
        run: evolution_pb2.Run,
        round_: evolution_pb2.Round,
        report: evolution_pb2.RoundReport,
    ) -> None:
        """Make the first measurement that is missing."""
        number = len(report.evaluations)
        asked = round_.evaluations[number]
        await self._orders.serve("policy", measured_policy(run, round_, report))
        if ppm := measured_ppm(run, round_, report):
            await self._orders.serve("ppm", ppm)
        members = [
            PoolProblem(pool="", problem=problem) for problem in self._material.sets[asked.set]
        ]
        problems = [one.problem for one in spread(members, asked.problems)]
        settings = seeded(asked.search, run.recipe, report.round)
        settings.mode = types_pb2.SEARCH_MODE_TEST_TIME
        begins, part = part_of_phase(self._plan[report.round].each_evaluation_seconds, number)
        batch = await self._orders.searched(
            run,
            evaluation_name(asked),
            f"evaluating: {asked.name}",
            [unanswered(one) for one in problems],
            settings,
            begins=begins,
            part=part,
        )
        made = await measure(self._tiers, problems, await self._tiers.results(batch.batch_id))
        made.name = asked.name
        made.batch_id = batch.batch_id
        # Of the phase, what the measurements before did not take.
        made.seconds = round(self._clock.beat() - sum(x.seconds for x in report.evaluations), 3)
        report.evaluations.append(made)

    async def _decide(
        self,
        run: evolution_pb2.Run,
        round_: evolution_pb2.Round,
        report: evolution_pb2.RoundReport,
    ) -> None:
        self._tell("deciding", 0.0)
        reasons = ["a trial"] if round_.trial else failed_gates(run, round_, report)
        report.promoted = not reasons
        report.decision = "; ".join(reasons) or "every gate holds"
        if report.promoted:
            run.policy_version = report.policy_version or run.policy_version
            run.ppm_version = report.ppm_version or run.ppm_version
        if report.promoted:
            await promote_best(self._registry, run)
        # Others were in place to search and to measure.
        await put_back(self._registry, run)

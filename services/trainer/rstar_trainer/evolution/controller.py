"""Takes runs on, has each carried out in its turn, and ends those that are cancelled.

Runs take turns as wholes, for all of them search and measure with what the same pointers name.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from google.protobuf.json_format import MessageToJson

from rstar.v1 import evolution_pb2
from rstar_common.errors import Conflict, RstarError
from rstar_common.recipe_checks import check_run_name
from rstar_trainer.evolution.branching import begin_branch, check_taken
from rstar_trainer.evolution.contamination import counts
from rstar_trainer.evolution.driving import Driver
from rstar_trainer.evolution.preparation import Prepared, prepare
from rstar_trainer.evolution.problems import run_prefix
from rstar_trainer.evolution.references import name_versions
from rstar_trainer.evolution.rules import goes_further, ordered_batches, ordered_jobs
from rstar_trainer.evolution.serving import put_back
from rstar_trainer.evolution.store import ENDED, RunStore
from rstar_trainer.evolution.tiers import Tiers
from rstar_trainer.job_store import JobStore
from rstar_trainer.promotion import Registry

MOST_NAMED = 1000
"""Problems left out that a run's record names: it has to fit a message."""


class Evolution:
    """The component that carries runs out."""

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
        self._tiers = tiers
        self._cancel_job = cancel_job
        self._driver = Driver(runs, registry, jobs, tiers)
        self._drivers: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
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

    async def planned(
        self, run_id: str, recipe: evolution_pb2.Recipe, branch: evolution_pb2.Branch
    ) -> tuple[evolution_pb2.Run, Prepared]:
        """The record that a run would begin with; its recipe names versions, not rounds.

        Raises:
            InvalidInput: the recipe cannot be carried out, or not from there.
            NotFound: there is no run to branch from.
        """
        check_run_name(run_id, field="run_id")
        recipe = name_versions(recipe, self._runs.get)
        begins_at, policy, done = branch, "", 0
        if self._runs.has(run_id):  # it goes on, with what it came with, promoted here or not
            known = self._runs.get(run_id)
            begins_at, policy = known.branch, known.policy_version
            done = len(known.rounds) if goes_further(recipe, known.recipe) else 0
        prepared = await prepare(self._registry, recipe, begins_at, policy=policy)
        run = evolution_pb2.Run(
            run_id=run_id,
            recipe=recipe,
            recipe_digest=hashlib.sha256(recipe.SerializeToString(deterministic=True)).hexdigest(),
            contaminated=prepared.matches[:MOST_NAMED],
            contaminated_counts=counts(prepared.matches),
            went_further_at=done,
        )
        if branch.run_id:
            source = self._runs.get(branch.run_id)
            begin_branch(run, source, branch.round)
            material = prepared.material
            by_id = {one.id: one.problem for one in material.problems}
            await check_taken(self._registry.store, run, source, by_id, material.excluded)
        return run, prepared

    async def start(self, run: evolution_pb2.Run, prepared: Prepared) -> evolution_pb2.Run:
        """Begin a run as planned, or return the one of its name.

        One that failed goes on, and one that is asked for more rounds than it has done.

        Raises:
            Conflict: another recipe has this name.
        """
        run_id = run.run_id
        run.state = evolution_pb2.RUN_STATE_RUNNING
        run.stage = "waiting"
        run.created_at.GetCurrentTime()
        if self._runs.has(run_id) and goes_further(run.recipe, self._runs.get(run_id).recipe):
            await self._go_further(run)
        added = await self._runs.add(run)
        if prepared.matches:
            lines = "".join(MessageToJson(one, indent=None) + "\n" for one in prepared.matches)
            key = f"{run_prefix(run_id)}contaminated.jsonl"
            await self._registry.store.put(key, lines.encode())
        if added.state == evolution_pb2.RUN_STATE_FAILED:
            self._drivers.pop(run_id, None)
            added.state = evolution_pb2.RUN_STATE_RUNNING
            added.attempts += 1
            added.ClearField("failure")
            added.ClearField("finished_at")
            await self._runs.save(added)
        self._wanted.set()
        return added

    async def _go_further(self, asked: evolution_pb2.Run) -> None:
        """Have a run that has ended well carry out the rounds that `asked` adds to it."""
        run = self._runs.get(asked.run_id)
        if asked.HasField("branch") and asked.branch != run.branch:
            raise Conflict(f"run {run.run_id} is there already, and did not begin there")
        if run.state == evolution_pb2.RUN_STATE_CANCELLED:
            raise Conflict(f"run {run.run_id} was cancelled; begin another: --run NAME")
        if run.state != evolution_pb2.RUN_STATE_SUCCEEDED:
            raise Conflict(f"run {run.run_id} is not through its rounds; ask for more when it is")
        run.recipe.CopyFrom(asked.recipe)
        run.recipe_digest = asked.recipe_digest
        run.state = evolution_pb2.RUN_STATE_RUNNING
        run.stage = "waiting"
        run.progress = 0.0
        run.went_further_at = len(run.rounds)
        # What is promoted by then is put back, its own best perhaps.
        for name in ("finished_at", "policy_before", "ppm_before"):
            run.ClearField(name)
        await self._runs.save(run)
        self._drivers.pop(run.run_id, None)

    async def cancel(self, run_id: str) -> evolution_pb2.Run:
        """End a run and what it ordered; ending one that has ended changes nothing."""
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
        await self._withdraw(run)
        return run

    async def _withdraw(self, run: evolution_pb2.Run) -> None:
        """End the searches and the training of a run's rounds, and put its best models back.

        What was never ordered, or has ended, is not found: nothing is left to do for it.
        """
        async with self._tiers() as tiers:
            for batch_id in ordered_batches(run):
                with contextlib.suppress(RstarError):
                    await tiers.cancel_batch(batch_id)
        for job_id in ordered_jobs(run):
            with contextlib.suppress(RstarError):
                await self._cancel_job(job_id)
        await put_back(self._registry, run)

    async def _start_drivers(self, group: asyncio.TaskGroup) -> None:
        while True:
            for run in self._runs.all():
                if run.state not in ENDED and run.run_id not in self._drivers:
                    self._drivers[run.run_id] = group.create_task(self._drive(run.run_id))
            self._wanted.clear()
            await self._wanted.wait()

    async def _drive(self, run_id: str) -> None:
        if self._turn.locked():
            run = self._runs.get(run_id)
            self._runs.note(
                run_id,
                stage="waiting until another run has ended",
                progress=run.progress,
                seconds_left=0.0,
            )
        async with self._turn:
            await self._driver.drive(run_id)

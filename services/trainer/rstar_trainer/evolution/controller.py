"""Takes runs on, has each carried out in its turn, and ends those that are cancelled.

Runs take turns as wholes, for all of them search and measure with what the same pointers name.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from google.protobuf.json_format import MessageToJson

from rstar.v1 import evolution_pb2
from rstar_common.errors import Conflict, RstarError, Unavailable
from rstar_common.recipe_checks import check_run_name
from rstar_trainer.evolution.branching import begin_branch, check_taken
from rstar_trainer.evolution.contamination import counts
from rstar_trainer.evolution.driving import Driver
from rstar_trainer.evolution.preparation import Prepared, prepare
from rstar_trainer.evolution.problems import run_prefix
from rstar_trainer.evolution.references import name_versions
from rstar_trainer.evolution.rules import goes_further
from rstar_trainer.evolution.serving import is_in_place
from rstar_trainer.evolution.store import ENDED, RunStore
from rstar_trainer.evolution.tiers import Tiers
from rstar_trainer.job_store import JobStore
from rstar_trainer.promotion import Registry

logger = logging.getLogger(__name__)

MOST_NAMED = 1000
"""Problems left out that a run's record names: it has to fit a message."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A run that is being carried out."""

    run_id: str
    task: asyncio.Task[None]
    over: asyncio.Event
    """Set when nothing of it is under way any more, and what it put in place is put back."""


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
        self._driver = Driver(runs, registry, jobs, tiers, cancel_job)
        self._turn: _Turn | None = None
        self._cancelled: set[str] = set()
        """Runs whose turn is to end with their withdrawal."""

        self._elsewhere: set[str] = set()
        """Runs that another trainer drives."""

        self._changing = asyncio.Lock()
        """Held while a record is changed on somebody's order."""

        self._wanted = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Drive runs until `stop`; what is unfinished goes on next time."""
        async with asyncio.TaskGroup() as group:
            turns = group.create_task(self._take_turns())
            await stop.wait()
            self._runs.close()
            turns.cancel()

    async def _take_turns(self) -> None:
        for run in self._runs.all():  # a trainer died while it withdrew them
            if run.state == evolution_pb2.RUN_STATE_CANCELLED and is_in_place(run):
                await self._withdraw(run.run_id)
        while True:
            self._wanted.clear()
            waiting = [
                run
                for run in self._runs.all()
                if run.state not in ENDED and run.run_id not in self._elsewhere
            ]
            if not waiting:
                await self._wanted.wait()
                continue
            # What is served may be of a run that was under way when the trainer ended.
            waiting.sort(key=lambda run: not is_in_place(run))
            await self._take_turn(waiting[0].run_id)

    async def _take_turn(self, run_id: str) -> None:
        task = asyncio.create_task(self._driver.drive(run_id))
        self._turn = turn = _Turn(run_id, task, asyncio.Event())
        self._tell_waiting()
        try:
            await asyncio.wait({task})
            if run_id in self._cancelled:
                await self._withdraw(run_id)
            elif self._runs.get(run_id).state not in ENDED:
                self._elsewhere.add(run_id)
        finally:
            if not task.done():  # the service is ending
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._turn = None
            self._cancelled.discard(run_id)
            turn.over.set()

    async def _withdraw(self, run_id: str) -> None:
        try:
            await self._driver.withdraw(run_id)
        except RstarError as error:  # a second cancel, or the next start, does it again
            logger.warning("run %s is not withdrawn: %s", run_id, error)

    def _tell_waiting(self) -> None:
        for run in self._runs.all():
            if self._turn and run.state not in ENDED and run.run_id != self._turn.run_id:
                self._runs.note(
                    run.run_id,
                    stage="waiting until another run has ended",
                    progress=run.progress,
                    seconds_left=run.seconds_left,
                )

    async def planned(
        self, run_id: str, recipe: evolution_pb2.Recipe, branch: evolution_pb2.Branch
    ) -> tuple[evolution_pb2.Run, Prepared]:
        """The record that a run would begin with; its recipe names versions, not rounds.

        Raises:
            InvalidInput: the recipe cannot be carried out, or not from there.
            NotFound: there is no run to branch from.
        """
        check_run_name(run_id, field="run_id")
        known = self._runs.get(run_id) if self._runs.has(run_id) else None
        recipe = name_versions(recipe, self._runs.get, known=known.recipe if known else None)
        begins_at, policy = branch, ""
        if known is not None:  # it goes on, with what it came with, promoted here or not
            begins_at, policy = known.branch, known.policy_version
        prepared = await prepare(self._registry, recipe, begins_at, policy=policy)
        run = evolution_pb2.Run(
            run_id=run_id,
            recipe=recipe,
            recipe_digest=hashlib.sha256(recipe.SerializeToString(deterministic=True)).hexdigest(),
            contaminated=prepared.matches[:MOST_NAMED],
            contaminated_counts=counts(prepared.matches),
        )
        if branch.run_id:
            source = self._runs.get(branch.run_id)
            begin_branch(run, source, branch.round)
            material = prepared.material
            by_id = {one.id: one.problem for one in material.problems}
            await check_taken(self._registry.store, run, source, by_id, material.excluded)
        if known and (recipe == known.recipe or goes_further(recipe, known.recipe)):
            del run.rounds[:]
            run.rounds.extend(known.rounds)  # what these have done is left to nobody
            if known.HasField("branch") and not branch.run_id:
                run.branch.CopyFrom(known.branch)
        return run, prepared

    async def start(self, run: evolution_pb2.Run, prepared: Prepared) -> evolution_pb2.Run:
        """Begin a run as planned, or return the one of its name.

        One that failed goes on, and one that is asked for more rounds than it has done.

        Raises:
            Conflict: another recipe has this name.
        """
        async with self._changing:
            return await self._start(run, prepared)

    async def _start(self, run: evolution_pb2.Run, prepared: Prepared) -> evolution_pb2.Run:
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
            added.state = evolution_pb2.RUN_STATE_RUNNING
            added.attempts += 1
            added.ClearField("failure")
            added.ClearField("finished_at")
            await self._runs.save(added)
        self._elsewhere.discard(run_id)
        self._wanted.set()
        self._tell_waiting()
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
        run.ClearField("finished_at")
        await self._runs.save(run)

    async def cancel(self, run_id: str) -> evolution_pb2.Run:
        """End a run and what it ordered; ending one that has ended changes nothing.

        Raises:
            NotFound: there is none of that name.
            Unavailable: what is served could not be put back; to be asked for again.
        """
        async with self._changing:
            run = self._runs.get(run_id)
            if run.state in ENDED and not is_in_place(run):
                return run
            turn = self._turn
            if turn and turn.run_id == run_id:
                self._cancelled.add(run_id)
                turn.task.cancel()
                await turn.over.wait()
            else:
                await self._driver.withdraw(run_id)
            run = self._runs.get(run_id)
            if is_in_place(run):
                raise Unavailable(f"run {run_id} is cancelled, and its models are served still")
            return run

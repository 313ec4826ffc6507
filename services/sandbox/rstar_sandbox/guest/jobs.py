"""Answer requests: find or rebuild the parent's state, run the siblings in forks of it.

What a fork cannot repeat faithfully kills the fork (`seccomp`); the whole path is then run
again, in a fresh interpreter under the wider filter and a user of its own. Whichever way was
taken, the outcome is that of the path executed from the start.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from rstar_sandbox.guest import kernel
from rstar_sandbox.guest.court import Court
from rstar_sandbox.guest.limits import Limits
from rstar_sandbox.guest.loop import Loop, Slots
from rstar_sandbox.guest.nursery import Nursery
from rstar_sandbox.guest.orders import Answer, Course, Job, step_name
from rstar_sandbox.guest.outcome import Outcome, describe_death
from rstar_sandbox.guest.parking import Key, Parked, Parking, Users, path_keys, root_key, step_key
from rstar_sandbox.guest.paths import Paths, brief
from rstar_sandbox.guest.process import Interpreter


class Jobs:
    """Runs jobs beside each other on the same slots."""

    def __init__(self, loop: Loop, nursery: Nursery, parking: Parking, slots: Slots) -> None:
        self._loop = loop
        self._nursery = nursery
        self._parking = parking
        self._slots = slots
        self._users = Users()
        self._court = Court(nursery, self._users)
        self._paths = Paths(loop, nursery, parking, slots)

    async def execute(self, job: Job, course: Course) -> Answer:
        keys = path_keys(root_key(job.session, job.seed, job.limits), job.path)
        uid = self._users.enter(job.session)
        outcomes: dict[int, Outcome] = {}
        untried = deque(enumerate(job.siblings))
        parked = await self._paths.hold(job, keys, uid, course)
        while parked and parked.interpreter.plain and untried and not course.cancelled:
            await self._try_in_place(job, keys[-1], parked, untried, outcomes, course)
            if parked.dropped:
                self._parking.release(parked)
                parked = await self._paths.hold(job, keys, uid, course)
        if not course.ended:
            rest = [index for index in range(len(job.siblings)) if index not in outcomes]
            copies = await self._copies(parked, keys[-1], job.siblings, rest)
            runs = [
                self._sibling(job, keys[-1], copies.get(index), job.siblings[index], course)
                for index in rest
            ]
            outcomes |= dict(zip(rest, await self._loop.gather(runs), strict=True))
        if parked:
            self._parking.release(parked)
        self._users.leave(uid)
        if course.ended:
            outcomes = dict.fromkeys(range(len(job.siblings)), course.failure or Outcome())
        return Answer(
            [outcomes[index] for index in range(len(job.siblings))],
            course.cpu_seconds,
            path_failed=course.failure is not None,
        )

    async def _try_in_place(
        self,
        job: Job,
        parent: Key,
        parked: Parked,
        untried: deque[tuple[int, str]],
        outcomes: dict[int, Outcome],
        course: Course,
    ) -> None:
        """Try siblings in the parked interpreter itself; what is not plain is left to forks.

        Each is undone, but for an only child: its state is likely to be the next one asked for.
        One that goes too far takes the interpreter along: it is dropped, the rest still untried.
        """
        place = len(job.path)
        async with self._slots:
            while untried and not parked.dropped and not course.cancelled:
                index, code = untried.popleft()
                if len(job.siblings) == 1 and parked.is_free:
                    with course.running(parked.interpreter):
                        outcome = await parked.advance(
                            code, step_name(place), brief(job.limits), step_key(parent, code)
                        )
                else:
                    async with parked.interpreter.turn:
                        if course.cancelled:  # while another's step ran there, which goes on
                            break
                        with course.running(parked.interpreter):
                            outcome = await parked.interpreter.attempt(
                                code, step_name(place), brief(job.limits)
                            )
                if outcome.abstained:
                    continue
                if outcome.vanished or outcome.limit:
                    self._parking.drop(parked)
                else:
                    outcomes[index] = course.count(outcome)

    async def judge(self, answer: str, reference: str, limits: Limits) -> Outcome:
        """Compare two answers in an interpreter that ends with it."""
        async with self._slots:
            parent = await self._court.parent()
            copies = await parent.fork(1)
            if not copies:
                self._court.close(parent)
                return Outcome()
            outcome = await copies[0].judge({"answer": answer, "reference": reference}, limits)
            copies[0].close()
            return outcome

    def sweep(self) -> None:
        """Once in a while: end what has no owner any more."""
        self._parking.sweep()
        self._nursery.kill_strangers(self._parking.pids() | self._court.pids())
        for uid in self._users.retire(self._parking.uids()):
            kernel.kill_user(uid, self._nursery.reap)
        self._nursery.reap()

    async def _copies(
        self, parked: Parked | None, parent: Key, siblings: Sequence[str], places: Sequence[int]
    ) -> dict[int, Interpreter]:
        """A fork of the parent for each sibling that can run in one, by the sibling's place."""
        wanted = [
            index for index in places if self._paths.is_forkable(step_key(parent, siblings[index]))
        ]
        if not parked or not wanted:
            return {}
        async with self._slots:
            copies = await parked.interpreter.fork(len(wanted))
        if len(copies) < len(wanted):
            self._parking.drop(parked)
        return dict(zip(wanted, copies, strict=False))

    async def _sibling(
        self, job: Job, parent: Key, copy: Interpreter | None, code: str, course: Course
    ) -> Outcome:
        async with self._slots:
            if copy:
                key = step_key(parent, code)
                outcome = await course.run(copy, code, len(job.path), job.limits, key)
                if not outcome.vanished:
                    self._keep(key, copy, outcome)
                    return outcome
                copy.close()
                self._paths.remember(key)
            return await self._replay(job, code, course)

    def _keep(self, key: Key, interpreter: Interpreter, outcome: Outcome) -> None:
        if outcome.valid:
            if interpreter.plain or interpreter.is_forkable():
                self._parking.park(interpreter)
                return
            self._paths.remember(key)
        interpreter.close()

    async def _replay(self, job: Job, code: str, course: Course) -> Outcome:
        """The reference semantics, literally."""
        interpreter = self._nursery.take(watched=True)
        uid = self._users.new()
        await interpreter.assign(
            uid=uid,
            filter_name="contained",
            seed=job.seed,
            limits=self._nursery.kernel_limits(job.limits, processes=job.limits.processes),
        )
        outcome, index = Outcome(), 0
        for index, step in enumerate([*job.path, code]):
            outcome = await course.run(interpreter, step, index, job.limits)
            if not outcome.valid:
                break
        kernel.kill_user(uid, self._nursery.reap)  # at once: what it forked must not run on
        status = await self._nursery.end(interpreter)
        if outcome.vanished:
            outcome = _explain(outcome, status)
        if index < len(job.path):
            course.failure = outcome
        return outcome


def _explain(outcome: Outcome, status: int) -> Outcome:
    if status == -signal.SIGKILL:  # neither we nor the code can send it: out of memory
        return replace(outcome, limit="memory")
    return replace(outcome, report=describe_death(status))

"""Interpreters that are in the state a path leads to: found, moved there, forked or rebuilt.

A plain interpreter remembers how to undo its last steps, so it stands for every state it has
passed. An idle one goes a step on, or the one step back, by itself; all other ways begin with a
fork. Which way was taken shows in nothing but the time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rstar_sandbox.guest.limits import Limits
from rstar_sandbox.guest.loop import Future, Loop, Slots
from rstar_sandbox.guest.nursery import Nursery
from rstar_sandbox.guest.orders import Course, Job, step_name
from rstar_sandbox.guest.outcome import Outcome
from rstar_sandbox.guest.parking import Key, Parked, Parking
from rstar_sandbox.guest.process import Interpreter

MAX_REMEMBERED = 4096
"""Paths remembered as not forkable; forgetting one costs a failed attempt."""

ATTEMPT_CPU_SECONDS = 1.0
"""What needs longer gets a process of its own: others wait behind an attempt."""

MAX_SESSION_PROCESSES = 1024
"""Kernel's bound on a session's interpreters; the parking's own is far stricter."""


def brief(limits: Limits) -> Limits:
    """Of what runs in an interpreter that others may want."""
    return replace(limits, cpu=min(limits.cpu, ATTEMPT_CPU_SECONDS))


class Paths:
    """Finds the way to a state."""

    def __init__(self, loop: Loop, nursery: Nursery, parking: Parking, slots: Slots) -> None:
        self._loop = loop
        self._nursery = nursery
        self._parking = parking
        self._slots = slots
        self._building: dict[Key, Future[None]] = {}
        self._unforkable: OrderedDict[Key, None] = OrderedDict()

    async def hold(self, job: Job, keys: Sequence[Key], uid: int, course: Course) -> Parked | None:
        """The interpreter that is in the path's state; None when that cannot be forked."""
        key = keys[-1]
        while under_way := self._building.get(key) or self._parking.movement(key):
            await under_way.get()
        if parked := self._parking.hold(key):
            return parked
        if any(prefix in self._unforkable for prefix in keys):
            return None
        with self._announced(key):
            async with self._slots:
                return await self._reach(job, keys, uid, course)

    def remember(self, key: Key) -> None:
        """A state that cannot be forked."""
        self._unforkable[key] = None
        if len(self._unforkable) > MAX_REMEMBERED:
            self._unforkable.popitem(last=False)

    def is_forkable(self, key: Key) -> bool:
        """As far as is known."""
        return key not in self._unforkable

    @contextmanager
    def _announced(self, key: Key) -> Iterator[None]:
        building = self._building[key] = Future[None]()
        try:
            yield
        finally:
            del self._building[key]
            building.set(None)

    async def _reach(
        self, job: Job, keys: Sequence[Key], uid: int, course: Course
    ) -> Parked | None:
        interpreter = None
        parked, done = await self._nearest(keys)
        if parked:
            done = await self._go_on(job, keys, done, parked, course)
            if parked.interpreter.states[-1] == keys[-1] and not parked.dropped:
                return parked
            if not course.ended:
                interpreter = await self._copy(parked, keys[done])
            self._parking.release(parked)
        if course.ended:
            return None
        if interpreter is None:
            interpreter, done = await self._fresh(job, keys[0], uid), 0
        return await self._build(job, keys, done, interpreter, course)

    async def _nearest(self, keys: Sequence[Key]) -> tuple[Parked | None, int]:
        """What has passed the longest prefix, held; how long that is."""
        for length in range(len(keys) - 1, -1, -1):
            while movement := self._parking.movement(keys[length]):
                await movement.get()
            if parked := self._parking.find(keys[length]):
                self._parking.use(parked)
                return parked, length
        return None, 0

    async def _go_on(
        self, job: Job, keys: Sequence[Key], done: int, parked: Parked, course: Course
    ) -> int:
        """Move an idle interpreter itself as far along the path as it goes; how far that is."""
        interpreter = parked.interpreter
        if done == len(job.path) and parked.is_free and interpreter.states[-2:-1] == [keys[done]]:
            interpreter.rewind(keys[done])
        while done < len(job.path) and parked.is_free and interpreter.states[-1] == keys[done]:
            with course.running(interpreter):
                outcome = await self.advance(parked, job, job.path[done], done, keys[done + 1])
            if outcome is None:
                break
            course.count(outcome)
            if not outcome.valid:
                course.failure = outcome
                break
            done += 1
        return done

    async def advance(
        self, parked: Parked, job: Job, code: str, place: int, state: Key
    ) -> Outcome | None:
        """Take a step in the interpreter itself; None where it was not to be told that way.

        A step that raises is undone. One that goes too far takes the interpreter along.
        """
        outcome = await parked.advance(code, step_name(place), brief(job.limits), state)
        if outcome.vanished or outcome.limit:
            self._parking.drop(parked)
            return None
        return None if outcome.abstained else outcome

    async def _copy(self, parked: Parked, key: Key) -> Interpreter | None:
        if parked.dropped:
            return None
        copies = await parked.interpreter.fork(1)
        if not copies:
            self._parking.drop(parked)
            return None
        copies[0].rewind(key)
        return copies[0]

    async def _fresh(self, job: Job, root: Key, uid: int) -> Interpreter:
        interpreter = self._nursery.take()
        await interpreter.assign(
            uid=uid,
            filter_name="forkable",
            seed=job.seed,
            limits=self._nursery.kernel_limits(job.limits, processes=MAX_SESSION_PROCESSES),
        )
        interpreter.states = [root]
        return interpreter

    async def _build(
        self, job: Job, keys: Sequence[Key], done: int, interpreter: Interpreter, course: Course
    ) -> Parked | None:
        """Run the rest of the path in an interpreter of our own, and park it."""
        for place in range(done, len(job.path)):
            state = keys[place + 1]
            outcome = await course.run(interpreter, job.path[place], place, job.limits, state)
            if outcome.valid:
                continue
            interpreter.close()
            if outcome.vanished:
                self.remember(state)
            else:
                course.failure = outcome
            return None
        if not (interpreter.plain or interpreter.is_forkable()):
            interpreter.close()
            self.remember(keys[-1])
            return None
        self._parking.park(interpreter)
        return self._parking.hold(keys[-1])

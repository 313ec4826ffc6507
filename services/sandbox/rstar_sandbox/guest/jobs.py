"""Answer requests: find or rebuild the parent's state, run the siblings in forks of it.

What a fork cannot repeat faithfully kills the fork (`seccomp`); the whole path is then run
again, in a fresh interpreter under the wider filter and a user of its own. Whichever way was
taken, the outcome is that of the path executed from the start.
"""

from __future__ import annotations

import signal
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rstar_sandbox.guest import kernel
from rstar_sandbox.guest.court import Court
from rstar_sandbox.guest.loop import Future, Loop, Slots
from rstar_sandbox.guest.nursery import Nursery
from rstar_sandbox.guest.outcome import Outcome, describe_death
from rstar_sandbox.guest.parking import Key, Parked, Parking, Users, path_keys, root_key, step_key
from rstar_sandbox.guest.process import Interpreter, Limits

MAX_REMEMBERED = 4096
"""Paths remembered as not forkable; forgetting one costs a failed attempt."""

ATTEMPT_CPU_SECONDS = 1.0
"""What needs longer gets a fork of its own: others wait behind an attempt."""

MAX_SESSION_PROCESSES = 1024
"""Kernel's bound on a session's interpreters; the parking's own is far stricter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An execute request."""

    session: str
    seed: int
    limits: Limits
    path: Sequence[str]
    siblings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One outcome a sibling; `path_failed` when they repeat the path's failure."""

    outcomes: list[Outcome]
    cpu_seconds: float
    path_failed: bool = False


@dataclass(slots=True)
class _Tally:
    """What a job has come to so far."""

    cpu_seconds: float = 0.0
    failure: Outcome | None = None
    """How the path itself failed, if it did."""

    def count(self, outcome: Outcome) -> Outcome:
        self.cpu_seconds += outcome.cpu_seconds
        return outcome


class Jobs:
    """Runs jobs beside each other on the same slots."""

    def __init__(self, loop: Loop, nursery: Nursery, parking: Parking, slots: Slots) -> None:
        self._loop = loop
        self._nursery = nursery
        self._parking = parking
        self._slots = slots
        self._users = Users()
        self._court = Court(nursery, self._users)
        self._building: dict[Key, Future[None]] = {}
        self._unforkable: OrderedDict[Key, None] = OrderedDict()

    async def execute(self, job: Job) -> Answer:
        keys = path_keys(root_key(job.session, job.seed, job.limits), job.path)
        uid = self._users.enter(job.session)
        tally = _Tally()
        outcomes: dict[int, Outcome] = {}
        untried = deque(enumerate(job.siblings))
        parked = await self._hold(job, keys, uid, tally)
        while parked and parked.interpreter.plain and untried:
            await self._attempt(job, parked, untried, outcomes, tally)
            if parked.dropped:
                self._parking.release(parked)
                parked = await self._hold(job, keys, uid, tally)
        if not tally.failure:
            rest = [index for index in range(len(job.siblings)) if index not in outcomes]
            copies = await self._copies(parked, keys[-1], job.siblings, rest)
            runs = [
                self._sibling(job, keys[-1], copies.get(index), job.siblings[index], tally)
                for index in rest
            ]
            outcomes |= dict(zip(rest, await self._loop.gather(runs), strict=True))
        if parked:
            self._parking.release(parked)
        self._users.leave(uid)
        if tally.failure:
            outcomes = dict.fromkeys(range(len(job.siblings)), tally.failure)
        return Answer(
            [outcomes[index] for index in range(len(job.siblings))],
            tally.cpu_seconds,
            path_failed=tally.failure is not None,
        )

    async def _attempt(
        self,
        job: Job,
        parked: Parked,
        untried: deque[tuple[int, str]],
        outcomes: dict[int, Outcome],
        tally: _Tally,
    ) -> None:
        """Try siblings in the parked interpreter itself; what is not plain is left to forks.

        One that goes too far takes the interpreter along: it is dropped, the rest still untried.
        """
        limits = replace(job.limits, cpu=min(job.limits.cpu, ATTEMPT_CPU_SECONDS))
        async with self._slots:
            while untried and not parked.dropped:
                index, code = untried.popleft()
                outcome = await parked.interpreter.attempt(code, _name(len(job.path)), limits)
                if outcome.abstained:
                    continue
                if outcome.vanished or outcome.limit:
                    self._parking.drop_this(parked)
                else:
                    outcomes[index] = tally.count(outcome)

    async def judge(self, answer: str, reference: str, limits: Limits) -> Outcome:
        """Compare two answers in an interpreter that ends with it."""
        async with self._slots:
            copies = await (await self._court.parent()).fork(1)
            if not copies:
                self._court.close()
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

    async def _hold(self, job: Job, keys: Sequence[Key], uid: int, tally: _Tally) -> Parked | None:
        """The interpreter that holds the path's state; None when that cannot be forked."""
        key = keys[-1]
        while key in self._building:
            await self._building[key].get()
        if parked := self._parking.hold(key):
            return parked
        if any(prefix in self._unforkable for prefix in keys):
            return None
        building = self._building[key] = Future[None]()
        try:
            async with self._slots:
                return await self._build(job, keys, uid, tally)
        finally:
            del self._building[key]
            building.set(None)

    async def _build(self, job: Job, keys: Sequence[Key], uid: int, tally: _Tally) -> Parked | None:
        interpreter, done = await self._nearest(keys)
        if interpreter is None:
            interpreter = self._nursery.take()
            await interpreter.assign(
                uid=uid,
                filter_name="forkable",
                seed=job.seed,
                limits=self._nursery.kernel_limits(job.limits, processes=MAX_SESSION_PROCESSES),
            )
        for index in range(done, len(job.path)):
            outcome = tally.count(await interpreter.run(job.path[index], _name(index), job.limits))
            if outcome.valid:
                continue
            interpreter.close()
            if outcome.vanished:
                self._remember(keys[index + 1])
            else:
                tally.failure = outcome
            return None
        if job.path and not interpreter.is_forkable():
            interpreter.close()
            self._remember(keys[-1])
            return None
        self._parking.park(keys[-1], interpreter)
        return self._parking.hold(keys[-1])

    async def _nearest(self, keys: Sequence[Key]) -> tuple[Interpreter | None, int]:
        """A fork of the longest parked prefix, and its length."""
        for length in range(len(keys) - 2, -1, -1):
            if parked := self._parking.hold(keys[length]):
                copies = await parked.interpreter.fork(1)
                self._parking.release(parked)
                if copies:
                    return copies[0], length
                self._parking.drop(keys[length])
        return None, 0

    async def _copies(
        self, parked: Parked | None, parent: Key, siblings: Sequence[str], places: Sequence[int]
    ) -> dict[int, Interpreter]:
        """A fork of the parent for each sibling that can run in one, by the sibling's place."""
        wanted = [
            index for index in places if step_key(parent, siblings[index]) not in self._unforkable
        ]
        if not parked or not wanted:
            return {}
        async with self._slots:
            copies = await parked.interpreter.fork(len(wanted))
        if len(copies) < len(wanted):
            self._parking.drop(parent)
        return dict(zip(wanted, copies, strict=False))

    async def _sibling(
        self, job: Job, parent: Key, copy: Interpreter | None, code: str, tally: _Tally
    ) -> Outcome:
        async with self._slots:
            if copy:
                key = step_key(parent, code)
                outcome = await copy.run(code, _name(len(job.path)), job.limits)
                if not outcome.vanished:
                    self._keep(key, copy, outcome)
                    return tally.count(outcome)
                copy.close()
                self._remember(key)
            return await self._replay(job, code, tally)

    def _keep(self, key: Key, interpreter: Interpreter, outcome: Outcome) -> None:
        if outcome.valid:
            if interpreter.is_forkable():
                self._parking.park(key, interpreter)
                return
            self._remember(key)
        interpreter.close()

    async def _replay(self, job: Job, code: str, tally: _Tally) -> Outcome:
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
            outcome = tally.count(await interpreter.run(step, _name(index), job.limits))
            if not outcome.valid:
                break
        status = self._nursery.end(interpreter)
        kernel.kill_user(uid, self._nursery.reap)
        if outcome.vanished:
            outcome = _explain(outcome, status)
        if index < len(job.path):
            tally.failure = outcome
        return outcome

    def _remember(self, key: Key) -> None:
        self._unforkable[key] = None
        if len(self._unforkable) > MAX_REMEMBERED:
            self._unforkable.popitem(last=False)


def _explain(outcome: Outcome, status: int) -> Outcome:
    if status == -signal.SIGKILL:  # neither we nor the code can send it: out of memory
        return replace(outcome, limit="memory")
    return replace(outcome, report=describe_death(status))


def _name(index: int) -> str:
    return f"<step {index + 1}>"

"""Interpreters that hold a path's state, kept for the steps that may follow.

Keyed by all that shaped the state: session, seed, limits and the code of every step. Bounded in
number and in memory; the one unused for longest goes first. Losing one costs a replay, never an
answer. A session's user owns nothing once its last interpreter is gone.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from rstar_sandbox.guest import kernel
from rstar_sandbox.guest.limits import Limits
from rstar_sandbox.guest.loop import Future
from rstar_sandbox.guest.outcome import Outcome
from rstar_sandbox.guest.process import Interpreter

FIRST_UID, LAST_UID = 100_000, 2_000_000_000

BURN_SHARE = 0.5
"""A parked interpreter that uses more than this share of a core was rebuilt to do so."""

Key = bytes


def root_key(*parts: object) -> Key:
    """Of a fresh interpreter."""
    return hashlib.sha256(repr(parts).encode()).digest()


def step_key(parent: Key, code: str) -> Key:
    """Of the state after one more step."""
    return hashlib.sha256(parent + code.encode(errors="surrogatepass")).digest()


def path_keys(root: Key, path: Sequence[str]) -> list[Key]:
    """Of every prefix of a path, the empty one first."""
    keys = [root]
    for code in path:
        keys.append(step_key(keys[-1], code))
    return keys


@dataclass(slots=True, eq=False)
class Parked:
    """An interpreter at rest. Neither evicted nor moved by others while it has users."""

    interpreter: Interpreter
    users: int = 0
    dropped: bool = False
    movement: Future[None] | None = None
    """Under way to another state: done when that is reached, or not to be."""

    cpu_seconds: float = 0.0
    seen: float = 0.0

    @property
    def is_free(self) -> bool:
        """Its one user may change its state."""
        return self.interpreter.plain and self.users == 1 and not self.dropped

    async def advance(self, code: str, name: str, limits: Limits, state: Key) -> Outcome:
        """Take a step for its one user. Others wait until that is done."""
        self.movement = Future()
        outcome = await self.interpreter.advance(code, name, limits, state)
        self.movement.set(None)
        self.movement = None
        return outcome

    def look(self) -> None:
        """Remember its CPU clock: from now on it has no reason to advance."""
        self.cpu_seconds, self.seen = kernel.cpu_seconds(self.interpreter.pid), time.monotonic()

    @property
    def burns(self) -> bool:
        """It used CPU although nobody asked it to do anything."""
        used = kernel.cpu_seconds(self.interpreter.pid) - self.cpu_seconds
        return not self.users and used > BURN_SHARE * (time.monotonic() - self.seen)


class Parking:
    """The least recently used of the parked interpreters makes room."""

    def __init__(self, *, places: int, memory_bytes: int) -> None:
        self._places = places
        self._memory_bytes = memory_bytes
        self._parked: OrderedDict[Parked, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parked)

    def hold(self, key: Key) -> Parked | None:
        """Use an interpreter that is in this state; `release` it afterwards."""
        for parked in reversed(self._parked):
            if parked.interpreter.states[-1] == key and not parked.movement:
                self.use(parked)
                return parked
        return None

    def find(self, key: Key) -> Parked | None:
        """One that is in this state, or at least has passed it."""
        passed = None
        for parked in reversed(self._parked):
            states = parked.interpreter.states
            if states[-1] == key:
                return parked
            passed = parked if passed is None and key in states else passed
        return passed

    def movement(self, key: Key) -> Future[None] | None:
        """Of one that might be in this state when it is done."""
        for parked in self._parked:
            if parked.movement and key in parked.interpreter.states:
                return parked.movement
        return None

    def use(self, parked: Parked) -> None:
        """Keep it until `release`."""
        parked.users += 1
        if not parked.dropped:
            self._parked.move_to_end(parked)

    def release(self, parked: Parked) -> None:
        parked.users -= 1
        if parked.dropped and not parked.users:
            parked.interpreter.close()
        parked.look()

    def park(self, interpreter: Interpreter) -> None:
        """Keep an interpreter; of two in the same state the older stays."""
        if any(parked.interpreter.states[-1] == interpreter.states[-1] for parked in self._parked):
            interpreter.close()
            return
        parked = Parked(interpreter)
        self._parked[parked] = None
        parked.look()
        while len(self._parked) > self._places and self._evict():
            pass

    def drop(self, parked: Parked) -> None:
        """Kill one that misbehaved; its last user closes it."""
        if parked.dropped:
            return
        parked.dropped = True
        self._parked.pop(parked, None)
        kernel.kill(parked.interpreter.pid)
        if not parked.users:
            parked.interpreter.close()

    def sweep(self) -> None:
        """End what burns CPU while parked, and make room in memory."""
        for parked in list(self._parked):
            if parked.burns:
                self.drop(parked)
            else:
                parked.look()
        while kernel.used_memory() > self._memory_bytes and self._evict():
            pass

    def cpu_seconds(self) -> float:
        """Of all parked interpreters together."""
        return sum(kernel.cpu_seconds(parked.interpreter.pid) for parked in self._parked)

    def pids(self) -> set[int]:
        return {parked.interpreter.pid for parked in self._parked}

    def uids(self) -> set[int]:
        return {parked.interpreter.uid for parked in self._parked}

    def _evict(self) -> bool:
        for parked in self._parked:
            if not parked.users:
                del self._parked[parked]
                parked.interpreter.close()
                return True
        return False


class Users:
    """Who owns what: one kernel user a session, one for each run that is replayed."""

    def __init__(self) -> None:
        self._next = FIRST_UID
        self._sessions: dict[str, int] = {}
        self._active: Counter[int] = Counter()

    def new(self) -> int:
        """A user that owns nothing."""
        self._next = self._next + 1 if self._next < LAST_UID else FIRST_UID
        return self._next

    def enter(self, session: str) -> int:
        """A session's user, from its first interpreter to its last."""
        if session not in self._sessions:
            self._sessions[session] = self.new()
        uid = self._sessions[session]
        self._active[uid] += 1
        return uid

    def leave(self, uid: int) -> None:
        self._active[uid] -= 1

    def retire(self, owners: set[int]) -> list[int]:
        """Forget the sessions that neither run nor own a parked interpreter; their users."""
        gone = [
            (session, uid)
            for session, uid in self._sessions.items()
            if uid not in owners and not self._active[uid]
        ]
        for session, uid in gone:
            del self._sessions[session], self._active[uid]
        return [uid for _, uid in gone]

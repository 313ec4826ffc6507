"""Fresh interpreters, forked ahead of need, and the funerals of the zygote's own children."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from typing import TYPE_CHECKING

from rstar_sandbox.guest import kernel, seccomp
from rstar_sandbox.guest.interpreter import SPARE_CPU_SECONDS
from rstar_sandbox.guest.limits import Limits
from rstar_sandbox.guest.process import FORK_SECONDS, Interpreter

if TYPE_CHECKING:
    from rstar_sandbox.guest.loop import Loop
    from rstar_sandbox.guest.plain import Screen


DEATH_SECONDS = 2.0
"""One that was killed and does not die by then is left behind: gVisor can lose the interrupt that
takes a task out of running code (google/gvisor issue 14405), and nobody must wait for it."""

DEATH_CHECK_SECONDS = 0.0005


class Nursery:
    """Keeps a few unassigned interpreters waiting. No untrusted code has run in them."""

    def __init__(self, loop: Loop, screen: Screen, *, ready: int, tmp_bytes: int) -> None:
        self._loop = loop
        self._screen = screen
        self._target = ready
        self._tmp_bytes = tmp_bytes
        self._filters = {"contained": seccomp.contained(), "forkable": seccomp.forkable()}
        self._waiting: deque[Interpreter] = deque()
        self._watched: dict[int, int | None] = {}
        self._census: set[int] = set()
        self._strangers: dict[int, float] = {}
        self.address_space = kernel.address_space()
        """What an interpreter maps before any step has run."""

    def grow(self) -> bool:
        """Fork one more if there are too few."""
        if len(self._waiting) >= self._target:
            return False
        self._waiting.append(self._start())
        return True

    def take(self, *, watched: bool = False) -> Interpreter:
        """One to assign. If `watched`, its exit status is kept for `end`."""
        interpreter = self._waiting.popleft() if self._waiting else self._start()
        if watched:
            self._watched[interpreter.pid] = None
        return interpreter

    async def end(self, interpreter: Interpreter) -> int:
        """End a watched interpreter if it has not ended by itself; its exit status, or -signal."""
        pid = interpreter.pid
        if self._watched[pid] is None:
            kernel.kill(pid)
            deadline = time.monotonic() + DEATH_SECONDS
            while not self._has_ended(pid) and time.monotonic() < deadline:
                await self._loop.readable([], time.monotonic() + DEATH_CHECK_SECONDS)
        status = self._watched.pop(pid)
        interpreter.close()
        return -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)

    def _has_ended(self, pid: int) -> bool:
        self.reap()
        return self._watched[pid] is not None

    def reap(self) -> bool:
        """Collect what died: our own children, and the orphans of those that died before them."""
        found = False
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                found = True
                if pid in self._watched:
                    self._watched[pid] = status
        return found

    def kernel_limits(self, limits: Limits, *, processes: int) -> dict[str, int]:
        """What the kernel enforces on an interpreter and all it starts."""
        return {
            "AS": self.address_space + limits.memory,
            "CPU": SPARE_CPU_SECONDS,
            "NPROC": processes,
            "FSIZE": limits.file,
            "NOFILE": limits.files,
            "CORE": 0,
        }

    def kill_strangers(self, parents: set[int]) -> None:
        """End processes that nobody asked for: children of ours or of `parents`, unknown to us.

        One that was just forked is unknown until it greets, hence the patience.
        """
        found = {child for pid in (os.getpid(), *parents) for child in kernel.children(pid)}
        now, before = time.monotonic(), self._strangers
        self._strangers = {pid: before.get(pid, now) for pid in found - self._census}
        for pid, since in self._strangers.items():
            if now - since > 2 * FORK_SECONDS:
                kernel.kill(pid)

    def _start(self) -> Interpreter:
        return Interpreter.start(
            self._loop, self._census, self._filters, self._screen, self._tmp_bytes
        )

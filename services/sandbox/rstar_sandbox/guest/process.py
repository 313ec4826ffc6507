"""The zygote's end of an interpreter process: start, fork, run under the clock, kill."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rstar_sandbox.guest import interpreter, kernel
from rstar_sandbox.guest.channel import channel, greeting
from rstar_sandbox.guest.limits import Limits
from rstar_sandbox.guest.loop import Slots
from rstar_sandbox.guest.outcome import Outcome, Report, Status

if TYPE_CHECKING:
    import ctypes

    from rstar_sandbox.guest.loop import Loop
    from rstar_sandbox.guest.plain import Screen

FORK_SECONDS = 20.0
"""An interpreter that has not forked by then never will."""

CPU_CHECK_SECONDS = 0.05
"""Smallest pause between two looks at a run's CPU clock."""

_OWN_DESCRIPTORS = 4


class Interpreter:
    """A process that can run steps. Owned by one task at a time, or parked."""

    def __init__(
        self,
        loop: Loop,
        census: set[int],
        control: socket.socket,
        stdout: int,
        *,
        pid: int = 0,
        uid: int = 0,
    ) -> None:
        self._loop = loop
        self._census = census
        self._control = control
        self._stdout = stdout
        self.turn = Slots(1)
        self.pid = pid
        self.uid = uid
        self.plain = True
        """Nothing but plain code has run in it, as it said while that was so."""

        self.states: list[bytes] = []
        """The states it can be put back to, oldest first; the last is the one it is in."""

        if pid:
            census.add(pid)

    @classmethod
    def start(
        cls,
        loop: Loop,
        census: set[int],
        filters: Mapping[str, ctypes.Structure],
        screen: Screen,
        tmp_bytes: int,
    ) -> Interpreter:
        """Fork one from the zygote: fresh, still root, waiting to be assigned.

        `census` holds the pids of all that we know of.
        """
        ours, theirs, stdout, write_end = channel()
        pid = kernel.fork_interpreter()
        if pid == 0:
            interpreter.main(write_end, theirs.fileno(), dict(filters), screen, tmp_bytes)
        theirs.close()
        os.close(write_end)
        return cls(loop, census, ours, stdout, pid=pid)

    async def assign(
        self, *, uid: int, filter_name: str, seed: int, limits: Mapping[str, int]
    ) -> None:
        """Give it the identity it keeps to its end.

        Raises:
            RuntimeError: it could not take it. Nothing untrusted has run in it: a bug of ours.
        """
        self.uid = uid
        assignment = {"uid": uid, "filter": filter_name, "seed": seed, "limits": dict(limits)}
        self._send(interpreter.ASSIGN + json.dumps(assignment).encode())
        control = self._control.fileno()
        if not (
            await self._loop.readable([control], time.monotonic() + FORK_SECONDS)
            and greeting(self._control, uid)
        ):
            raise RuntimeError("an interpreter could not be set up")

    async def fork(self, count: int) -> list[Interpreter]:
        """So many copies of it, fewer if it does not answer as it should."""
        copies: list[Interpreter] = []
        async with self.turn:
            for start in range(0, count, interpreter.MAX_FORKS):
                if self._control.fileno() < 0:  # closed while this waited for its turn
                    break
                copies += await self._fork(min(count - start, interpreter.MAX_FORKS))
        return copies

    async def _fork(self, count: int) -> list[Interpreter]:
        channels = [channel() for _ in range(count)]
        descriptors = array.array("i")
        for _, far, _, write_end in channels:
            descriptors.extend((write_end, far.fileno()))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        with contextlib.suppress(OSError):
            self._control.sendmsg([interpreter.FORK], rights, socket.MSG_DONTWAIT)
        copies, deadline = [], time.monotonic() + FORK_SECONDS
        for near, far, stdout, write_end in channels:
            far.close()
            os.close(write_end)
            copies.append(Interpreter(self._loop, self._census, near, stdout, uid=self.uid))
        parent = self._control.fileno()
        for copy in copies:
            child = copy._control.fileno()
            # The parent has nothing to say meanwhile, so if it is heard it has ended.
            if child in await self._loop.readable([child, parent], deadline):
                copy.pid = greeting(copy._control, self.uid)
            if copy.pid:
                copy.plain, copy.states = self.plain, list(self.states)
                self._census.add(copy.pid)
            else:
                copy.close()
        return [copy for copy in copies if copy.pid]

    async def run(self, code: str, name: str, limits: Limits, state: bytes) -> Outcome:
        """Run a step in it for good. It is in `state` then, if all went well."""
        outcome = await self._ask(interpreter.RUN, code, name, limits)
        self.plain = self.plain and outcome.plain
        self.states = [*(self.states if outcome.undoable else ()), state]
        return outcome

    async def attempt(self, code: str, name: str, limits: Limits) -> Outcome:
        """Run a step in it and undo that; it abstains from what it could not undo.

        For who has its `turn`. After an outcome without a report it is of no use any more.
        """
        return await self._ask(interpreter.TRY, code, name, limits)

    async def advance(self, code: str, name: str, limits: Limits, state: bytes) -> Outcome:
        """The same, but a step that ends well is undone by `rewind` only."""
        async with self.turn:
            outcome = await self._ask(interpreter.ADVANCE, code, name, limits)
        if outcome.undoable:
            self.states.append(state)
        return outcome

    def rewind(self, state: bytes) -> None:
        """Put it back to a state that it has passed."""
        place = self.states.index(state)
        if place < len(self.states) - 1:
            self._send(interpreter.REWIND + b"%d" % place)
            del self.states[place + 1 :]

    async def judge(self, pair: Mapping[str, str], limits: Limits) -> Outcome:
        """Compare two answers in it."""
        return await self._ask(interpreter.JUDGE, json.dumps(dict(pair)), "", limits)

    async def _ask(self, kind: bytes, text: str, name: str, limits: Limits) -> Outcome:
        output = bytearray()
        started, used = time.monotonic(), kernel.cpu_seconds(self.pid)
        control, report, limit = self._control.fileno(), None, ""
        alive = self._send(kind + f"{name}\0{text}".encode(errors="surrogatepass"))
        streams, check = [control, self._stdout], started + limits.cpu
        while alive and not limit:
            ready = await self._loop.readable(streams, min(check, started + limits.wall))
            if self._stdout in ready and not self._drain(output, limits.output):
                streams = [control]  # closed by the step
            if len(output) > limits.output:
                limit = "output"
            elif control in ready:
                report = self._report()
                break
            elif time.monotonic() - started >= limits.wall:
                limit = "wall"
            elif time.monotonic() >= check:
                left = limits.cpu - (kernel.cpu_seconds(self.pid) - used)
                limit = "cpu" if left <= 0 else ""
                check = time.monotonic() + max(left / 2, CPU_CHECK_SECONDS)
        cpu = kernel.cpu_seconds(self.pid) - used
        if report:
            self._drain(output, limits.output)
            limit = "output" if len(output) > limits.output else ""
            limit = "memory" if report.status == Status.OUT_OF_MEMORY else limit
        return Outcome(
            stdout=bytes(output[: limits.output]),
            truncated=len(output) > limits.output,
            report=report,
            limit=limit,
            wall_seconds=time.monotonic() - started,
            cpu_seconds=max(cpu, 0.0),
        )

    def is_forkable(self) -> bool:
        """It owns nothing but memory: the filter saw to processes and threads, this to files."""
        return kernel.open_files(self.pid) == _OWN_DESCRIPTORS

    def close(self) -> None:
        """Kill the process, if it is known, and forget it."""
        if self.pid:
            kernel.kill(self.pid)
            self._census.discard(self.pid)
            self.pid = 0
        self._control.close()
        os.close(self._stdout)

    def _send(self, message: bytes) -> bool:
        try:
            self._control.send(message, socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def _report(self) -> Report | None:
        try:
            data = self._control.recv(interpreter.MAX_MESSAGE_BYTES, socket.MSG_DONTWAIT)
        except OSError:
            return None
        return Report.unpack(data[1:]) if data[:1] == interpreter.DONE else None

    def _drain(self, output: bytearray, limit: int) -> bool:
        """Read what is there, a little past the limit at most; False once the pipe is closed."""
        while len(output) <= limit:
            try:
                data = os.read(self._stdout, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            output += data
        return True

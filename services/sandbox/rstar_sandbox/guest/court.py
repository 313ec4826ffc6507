"""The interpreter that has the judge loaded, from which one is forked for every pair.

It runs no step and parses no answer but its own examples, so every fork of it starts clean. It is
made at the first judgement.
"""

from __future__ import annotations

from rstar_sandbox.guest.limits import Limits
from rstar_sandbox.guest.loop import Future
from rstar_sandbox.guest.nursery import Nursery
from rstar_sandbox.guest.outcome import Status
from rstar_sandbox.guest.parking import Users
from rstar_sandbox.guest.process import Interpreter

LIMITS = Limits(wall=60, cpu=60, memory=2**30, processes=1024, file=0, files=64, output=2**16)
"""Of the loading; each judgement has its own, stricter clock."""

EXAMPLES = (
    (r"\frac{1}{2}", "0.5"),
    ("(x + 1)^2", "x^2 + 2x + 1"),
    (r"\{1, 2\}", r"\{2, 3\}"),
    ("y = 2x", r"2y = \sin x"),
    (r"(1, \sqrt{2}\pi]", r"\frac{1 \pm \sqrt{8}}{3} \text{ cm}"),
    (r"e^{-x^2} + 3!", r"\begin{pmatrix} 1 & \ln 2 \end{pmatrix}"),
)
"""Judged once, so that forks find compiled patterns and what sympy imports late in memory."""


class Court:
    """Keeps the parent of all judgements."""

    def __init__(self, nursery: Nursery, users: Users) -> None:
        self._nursery = nursery
        self._users = users
        self._parent: Interpreter | None = None
        self._opening: Future[None] | None = None

    async def parent(self) -> Interpreter:
        """The loaded interpreter.

        Raises:
            RuntimeError: it cannot be made, which is a bug of ours.
        """
        while self._opening:
            await self._opening.get()
        if self._parent is None:
            self._opening = Future()
            self._parent = await self._open()
            self._opening.set(None)
            self._opening = None
        return self._parent

    def close(self, parent: Interpreter) -> None:
        """Let go of a parent that misbehaves, unless somebody else has already."""
        if self._parent is parent:
            self._parent = None
            parent.close()

    def pids(self) -> set[int]:
        return {self._parent.pid} if self._parent else set()

    async def _open(self) -> Interpreter:
        interpreter = self._nursery.take()
        await interpreter.assign(
            uid=self._users.new(),
            filter_name="forkable",
            seed=0,
            limits=self._nursery.kernel_limits(LIMITS, processes=LIMITS.processes),
        )
        for answer, reference in EXAMPLES:
            outcome = await interpreter.judge({"answer": answer, "reference": reference}, LIMITS)
            if not outcome.report or outcome.report.status != Status.OK:
                raise RuntimeError(f"the judge cannot be loaded: {outcome}")
        return interpreter

"""Run one step's code and say how it ended: for good, or as a trial of which no trace is left."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from rstar_sandbox.guest.outcome import MAX_MESSAGE_CHARACTERS, Report, Status
from rstar_sandbox.guest.plain import Screen
from rstar_sandbox.guest.trial import Guard, NotPlain, Undo, libraries


class Stepper:
    """The steps of one interpreter, one after the other in the same namespace."""

    def __init__(self, namespace: dict[str, Any], screen: Screen) -> None:
        self._namespace = namespace
        self._screen = screen
        self._guard = Guard(screen)
        self._plain = True
        """Nothing but plain code has run."""

        self._undos: list[Undo] = []

    def run(self, code: str, name: str) -> Report:
        """Run a step for good, remembering how to undo it where that can be known."""
        self._plain = self._plain and self._passes(code)
        if not self._plain:
            self._undos.clear()
            return run(code, name, self._namespace)
        undo = self._undo()
        with self._guard.watching(name, refuse=False):
            report = run(code, name, self._namespace)
        self._plain = not self._guard.breached
        if undo and self._plain:
            self._undos.append(undo)
        else:
            self._undos.clear()
        if report.status == Status.OK and self._plain:
            return Report(Status.UNDOABLE if undo else Status.PLAIN)
        return report

    def attempt(self, code: str, name: str, *, keep: bool = False) -> Report:
        """Run a step and undo it, or abstain where undoing it is not certain.

        With `keep`, one that ends well is not undone before `rewind`.
        """
        if not self._plain or not self._passes(code) or not (undo := self._undo()):
            return Report(Status.ABSTAINED)
        with self._guard.watching(name, refuse=True):
            report = run(code, name, self._namespace)
        if keep and report.status == Status.OK and not self._guard.breached:
            self._undos.append(undo)
            return Report(Status.UNDOABLE)
        undo()
        return Report(Status.ABSTAINED) if self._guard.breached else report

    def rewind(self, place: int) -> None:
        """Go back to the state after so many undoable steps."""
        while len(self._undos) > place:
            self._undos.pop()()

    def _undo(self) -> Undo | None:
        try:
            return Undo(self._namespace, self._screen)
        except (NotPlain, RecursionError):
            return None

    def _passes(self, code: str) -> bool:
        return self._screen.passes(code, libraries(self._namespace))


def run(code: str, name: str, namespace: dict[str, Any]) -> Report:
    """Execute `code` in `namespace`; `name` stands for its file in tracebacks.

    Any exception ends the step, `SystemExit` included: the steps after it could not run.
    """
    report = Report(Status.OK)
    streams = (sys.stdout, sys.__stdout__)
    try:
        exec(compile(code, name, "exec", dont_inherit=True), namespace)  # noqa: S102
    except MemoryError:
        report = Report(Status.OUT_OF_MEMORY)
    except BaseException as error:
        report = _report(error, name)
    for stream in (sys.stdout, *streams):
        with contextlib.suppress(Exception):  # replaced or closed by the step
            if stream:
                stream.flush()
    return report


def _report(error: BaseException, name: str) -> Report:
    message = ""
    with contextlib.suppress(BaseException):  # `__str__` is the step's code too
        message = str(error)[:MAX_MESSAGE_CHARACTERS]
    return Report(Status.RAISED, _line(error, name), type(error).__name__, message)


def _line(error: BaseException, name: str) -> int:
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno or 0
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno or 0
        trace = trace.tb_next
    return line

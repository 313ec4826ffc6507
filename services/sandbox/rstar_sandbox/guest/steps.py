"""Run one step's code and say how it ended."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from rstar_sandbox.guest.outcome import MAX_MESSAGE_CHARACTERS, Report, Status


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

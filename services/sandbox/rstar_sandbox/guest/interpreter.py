"""Life of one interpreter process: set up, then run, judge and fork on command.

Descriptors: 0 and 2 are /dev/null, 1 is the pipe the zygote reads, 3 is the control socket.
Everything after the first `RUN` happens in a process that untrusted code may have rebuilt; only
the kernel's limits, set before, are relied upon.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import resource
import signal
import socket
import sys
import types
from typing import Any

from rstar_sandbox.guest import kernel, steps
from rstar_sandbox.guest.outcome import Report, Status
from rstar_sandbox.guest.plain import Screen

CONTROL = 3

ASSIGN, RUN, TRY, ADVANCE, REWIND, FORK, JUDGE = b"A", b"R", b"T", b"V", b"W", b"F", b"J"
HELLO, DONE = b"H", b"D"

MAX_FORKS = 16
"""Children of one command; each takes two descriptors along."""

MAX_MESSAGE_BYTES = 2**18
"""Largest control message: the longest step, with room."""

SPARE_CPU_SECONDS = 600
"""Kernel's backstop for CPU time; the zygote's own clock is far stricter."""


def main(
    stdout: int,
    control: int,
    filters: dict[str, ctypes.Structure],
    screen: Screen,
    tmp_bytes: int,
) -> None:
    """Become an interpreter; never returns. Runs as root, before any untrusted code."""
    try:
        high = os.dup2(stdout, 1000), os.dup2(control, 1001)
        os.dup2(high[0], 1)
        os.dup2(high[1], CONTROL)
        os.closerange(CONTROL + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        kernel.own_mounts(tmp_bytes)
        os.chdir("/tmp")  # noqa: S108
        namespace = _prepare()
        channel = socket.socket(fileno=CONTROL)
        message = channel.recv(MAX_MESSAGE_BYTES)
        if message[:1] == ASSIGN:
            _settle(json.loads(message[1:]), filters)
            channel.send(HELLO)
            _serve(channel, steps.Stepper(namespace, screen))
    except OSError as error:
        os.write(2, f"interpreter: {error}\n".encode())  # until assigned, the host's log
    finally:
        os._exit(0)


def _prepare() -> dict[str, Any]:
    """Fresh streams and an empty `__main__`; touches what every run will touch."""
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8", errors="strict")  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    steps.run("def f(x):\n    return x + 1\n[f(i) for i in range(9)]", "<warm>", {})
    main_module = types.ModuleType("__main__")
    main_module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main_module
    gc.enable()
    return main_module.__dict__


def _settle(assignment: dict[str, Any], filters: dict[str, ctypes.Structure]) -> None:
    """Take the session's identity, limits and seed. No way back."""
    for name, value in assignment["limits"].items():
        number = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(number, (value, value))
    if assignment["filter"] == "forkable":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 2)
    os.close(null)
    kernel.become(assignment["uid"])
    kernel.set_filter(filters[assignment["filter"]])
    seed = assignment["seed"]
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if sympy_random := sys.modules.get("sympy.core.random"):
        sympy_random.seed(seed)


def _serve(channel: socket.socket, stepper: steps.Stepper) -> None:
    room = socket.CMSG_SPACE(2 * 4 * MAX_FORKS)
    while True:
        message, ancillary, _, _ = channel.recvmsg(MAX_MESSAGE_BYTES, room)
        kind, body = message[:1], message[1:]
        if kind in (RUN, TRY, ADVANCE):
            name, code = _text(body)
            if kind == RUN:
                report = stepper.run(code, name)
            else:
                report = stepper.attempt(code, name, keep=kind == ADVANCE)
            channel.send(DONE + report.pack())
        elif kind == REWIND:
            stepper.rewind(int(body))
        elif kind == FORK:
            _fork(channel, ancillary)
        elif kind == JUDGE:
            channel.send(DONE + _judge(json.loads(_text(body)[1])).pack())
        else:
            return


def _text(body: bytes) -> tuple[str, str]:
    name, _, text = body.decode(errors="surrogatepass").partition("\0")
    return name, text


def _fork(channel: socket.socket, ancillary: list[tuple[int, int, bytes]]) -> None:
    """One child for every two descriptors.

    As little as possible happens between two forks: each makes the parent's memory shared
    again, and whatever the parent touches after it must be copied.
    """
    descriptors = memoryview(ancillary[0][2]).cast("i")
    pairs = list(zip(descriptors[::2], descriptors[1::2], strict=True))
    fork = kernel.fork_interpreter
    for pair in pairs:
        if not fork():
            os.dup2(pair[0], 1)
            os.dup2(pair[1], CONTROL)
            os.closerange(CONTROL + 1, max(descriptors) + 1)
            channel.send(HELLO)
            return
    os.closerange(CONTROL + 1, max(descriptors) + 1)


def _judge(pair: dict[str, str]) -> Report:
    from rstar_sandbox.guest import latex  # heavy: only those that judge load it

    try:
        verdict, reason = latex.judge(pair["answer"], pair["reference"])
    except MemoryError:
        return Report(Status.OUT_OF_MEMORY)
    except Exception as error:
        return Report(Status.RAISED, type=type(error).__name__, message=str(error))
    return Report(Status.OK, type=verdict, message=reason)

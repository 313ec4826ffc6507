"""Attacks on the sandbox as data: what is tried, what must hold, and code that tells.

Attack code prints BREACH where it got what it wanted, and HELD, or raises, where it did not. What
the code cannot know itself (whether a sibling saw something) is told by the code run `beside` it
and `after` it. Those that are safe to try on a developer's machine are marked `outside`: there
they must succeed, so that no attack is contained merely because it never worked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rstar.v1 import types_pb2

WALL, CPU = types_pb2.LIMIT_KIND_WALL, types_pb2.LIMIT_KIND_CPU
MEMORY, OUTPUT = types_pb2.LIMIT_KIND_MEMORY, types_pb2.LIMIT_KIND_OUTPUT

HOST_FILE, HOST_PORT, HOST_SOCKET = "@HOST_FILE@", "@HOST_PORT@", "@HOST_SOCKET@"
"""Stand for a file, a TCP port and a unix socket that really exist on the host."""

CLEAN = """
import builtins, gc, json, os, random, signal, sys, threading
import numpy, sympy
x = sympy.Symbol('x')
facts = [
    len(dir(builtins)), print.__module__, json.dumps([1, {'a': None}]), sorted(os.environ),
    os.getcwd(), os.listdir('/tmp'), len(sys.path), len(sys.meta_path), threading.active_count(),
    [int(signal.getsignal(s) is signal.SIG_DFL) for s in (14, 15, 24)], os.listdir('/proc'),
    sorted(os.listdir('/')), str(sympy.expand((x + 1)**2)), str(sympy.cos(0)),
    random.random(), float(numpy.random.rand()), sys.gettrace() is None, 2 + 3, gc.isenabled(),
    sys.getrecursionlimit(), os.getpriority(0, 0), os.path.exists('/dev/shm/planted'),
]
print(facts)
"""
"""Prints what a later step could find changed. Run before all attacks and after each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One thing tried, one property that must hold."""

    group: str
    name: str
    holds: str
    code: str
    path: Sequence[str] = ()
    beside: str = ""
    """A sibling run in the same request; it must print `seen`."""

    seen: str = ""
    limits: tuple[tuple[str, float], ...] = ()
    ends: tuple[str, ...] = ()
    """Exception types or limits of which one must end it ("raises X": the type alone); "*" for any
    end; empty: HELD printed, or any exception."""

    open_defect: str = ""
    """Why it is not contained yet."""

    outside: bool = False
    """It does print BREACH in a plain Python process, and harms nothing there."""


LIMIT_NAMES = {"wall": WALL, "cpu": CPU, "memory": MEMORY, "output": OUTPUT}


def ended_as_it_must(attack: Attack, outcome: types_pb2.ExecutionOutcome) -> bool:
    """Whether this is the outcome of an attack that was contained."""
    if "BREACH" in outcome.stdout or outcome.exception.type == "SandboxLost":
        return False
    if not attack.ends:
        return "HELD" in outcome.stdout or outcome.HasField("exception")
    if "*" in attack.ends:
        return True
    limits = {LIMIT_NAMES.get(end) for end in attack.ends}
    if outcome.limit:
        return outcome.limit in limits
    return (
        f"raises {outcome.exception.type}" in attack.ends or outcome.exception.type in attack.ends
    )


def guarded(attempt: str) -> str:
    """Code that prints BREACH if `attempt` runs to its end and HELD if it raises."""
    body = "\n".join(f"    {line}" for line in attempt.strip().splitlines())
    return f"try:\n{body}\nexcept Exception:\n    print('HELD')\nelse:\n    print('BREACH')\n"


def system_call(number: int, *arguments: str) -> str:
    """Code that prints BREACH unless the kernel refuses: a call that fails for its arguments alone
    has been let through."""
    listed = ", ".join([str(number), *arguments])
    return (
        "import ctypes, errno\n"
        f"result = ctypes.CDLL(None, use_errno=True).syscall({listed})\n"
        "number = ctypes.get_errno()\n"
        "refused = result < 0 and number in (errno.EPERM, errno.EACCES, errno.ENOSYS)\n"
        "print('HELD' if refused else f'BREACH {result} {errno.errorcode.get(number)}')\n"
    )

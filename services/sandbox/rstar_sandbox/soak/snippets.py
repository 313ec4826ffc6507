"""Steps of every temper, with a number that makes each one new, and how they must end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from rstar.v1 import types_pb2

Outcome = types_pb2.ExecutionOutcome
Check = Callable[[Outcome], bool]

CPU, MEMORY, OUTPUT = (
    types_pb2.LIMIT_KIND_CPU,
    types_pb2.LIMIT_KIND_MEMORY,
    types_pb2.LIMIT_KIND_OUTPUT,
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A step and how it must end."""

    kind: str
    code: str
    ended_well: Check


def printed(text: str) -> Check:
    """Ran to its end and printed this."""
    return lambda outcome: (
        outcome.stdout == text and not outcome.HasField("exception") and not outcome.limit
    )


def raised(kind: str) -> Check:
    """Ended by an exception of this type."""
    return lambda outcome: outcome.exception.type == kind


def limited(*limits: types_pb2.LimitKind.ValueType) -> Check:
    """Ended by one of these limits."""
    return lambda outcome: outcome.limit in limits


def answered(_: Outcome) -> bool:
    """However it ended: what it does to others is seen there."""
    return True


def snippet(rng: Random) -> Snippet:
    """Mostly valid; one in eight loops or attacks."""
    n = rng.randrange(10**6)
    choices = _choices(n)
    [(_, chosen)] = rng.choices(choices, [weight for weight, _ in choices])
    return chosen


def most_processes(n: int) -> Snippet:
    """Forks to the limit of a run and holds what it got for a second.

    gVisor keeps the host's side of every address space for the next one, so a sandbox has as many
    processes on the host as it ever ran at once. Steps of this kind side by side are the most.
    """
    forks = (
        "for _ in range(500):\n    try:\n        if not os.fork(): break\n    except OSError: pass"
    )
    return Snippet("hostile", f"import os, time\nn = {n}\n{forks}\ntime.sleep(1)", answered)


def _choices(n: int) -> list[tuple[int, Snippet]]:
    sympy = f"from sympy import *\nx = symbols('x')\nprint(solve(x - {n}, x))"
    file = f"with open('/tmp/f', 'w') as f: f.write('{n}')\nprint(open('/tmp/f').read())"
    kill = f"import os\nn = {n}\nfor pid in range(1, 400):\n" + _attempt("os.kill(pid, 9)")
    daemons = f"import os\nn = {n}\nfor _ in range(50):\n    if not os.fork():\n        os.setsid()"
    descriptors = f"import os\nn = {n}\nwhile True:\n    os.dup(1)"
    listening = f"import socket\nn = {n}\nsocket.socket().bind(('127.0.0.1', 7777))"
    return [
        (28, Snippet("valid", f"print({n} + 1)", printed(f"{n + 1}\n"))),
        (14, Snippet("valid", sympy, printed(f"[{n}]\n"))),
        (8, Snippet("valid", f"import numpy\nprint(int(numpy.int64({n})))", printed(f"{n}\n"))),
        (3, Snippet("valid", file, printed(f"{n}\n"))),
        (12, Snippet("raising", f"v = {n}\nv / 0", raised("ZeroDivisionError"))),
        (5, Snippet("raising", f"import os\nraise KeyError({n})", raised("KeyError"))),
        (2, Snippet("raising", f"def f(n): return f(n + 1)\nf({n})", raised("RecursionError"))),
        (2, Snippet("looping", f"n = {n}\nwhile True:\n    n += 1", limited(CPU))),
        (1, Snippet("looping", f"import os\nn = 7**(10**8 + {n})", limited(CPU))),
        (2, Snippet("hostile", f"print('x' * (10**6 + {n}))", limited(OUTPUT, CPU))),
        (2, Snippet("hostile", f"a = bytearray(2**31 + {n})", limited(MEMORY))),
        (1, Snippet("hostile", kill, answered)),
        (1, Snippet("hostile", daemons, answered)),
        (1, Snippet("hostile", descriptors, raised("OSError"))),
        (1, Snippet("hostile", listening, raised("PermissionError"))),
        (2, Snippet("hostile", f"import sys\nsys.exit({n} % 7)", raised("SystemExit"))),
    ]


def _attempt(statement: str) -> str:
    return f"    try:\n        {statement}\n    except OSError:\n        pass"

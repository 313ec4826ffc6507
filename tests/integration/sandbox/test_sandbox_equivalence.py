"""Forking the parent's state gives what executing the whole path gives."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from rstar.v1 import types_pb2
from tests.support.sandbox import SandboxClient

STEPS = [
    "n = n + {k}\nprint(n)",
    "items.append(n * {k})\nprint(items)",
    "items = [v for v in items if v % 2 == {k} % 2]\nprint(len(items))",
    "table['k{k}'] = list(items)\nprint(sorted(table))",
    "def f(v, scale={k}):\n    return scale * v + len(items)\nprint(f(n))",
    "print(f(n + {k}))",
    "class C:\n    n = {k}\n    def up(self):\n        C.n += 1\n        return C.n\nc = C()",
    "print(c.up(), c.up())",
    "print(random.randint(0, 10**6), random.random())",
    "random.shuffle(items)\nprint(items)",
    "print(np.random.randint(0, 10**6), np.random.rand({k}).sum())",
    "a = np.arange({k} + 1) * n\nprint(a.sum())",
    "a[0] = {k}\nprint(a)",
    "x = sympy.Symbol('x', positive=bool({k} % 2))\nprint(sympy.sqrt(x**2))",
    "e = sympy.expand((x + {k})**3)\nprint(e)",
    "print(sympy.solve(x**2 - {k}**2, x))",
    "from fractions import Fraction\nq = Fraction(n, {k} + 1)\nprint(q)",
    "print(hash('text'), hash((n, 'a')), {{'b', 'a', 'c'}})",
    "g = (v * {k} for v in range(10))\nprint(next(g))",
    "print(next(g), next(g))",
    "import itertools\ncounter = itertools.count({k})\nprint(next(counter))",
    "print(next(counter))",
    "import os\nos.environ['LEFT'] = str({k})",
    "print(os.environ.get('LEFT'), os.getcwd(), os.listdir('.'))",
    "with open('note', 'a') as file:\n    print(file.write('x' * {k}))",
    "print(id(n) == id(n), sys.getrecursionlimit())",
    "sys.setrecursionlimit(500 + {k})",
    "del table['k{k}']",
    "print(1 / (n % 3))",
    "print(undefined_{k})",
]
PATIENT = {"wall": 60, "cpu": 60}
"""How long a step takes is not compared."""

START = "import random, sys\nimport numpy as np, sympy\nn, items, table = 1, [3, 1, 2], {}"


def program(rng: Random) -> list[str]:
    chosen = [rng.choice(STEPS).format(k=rng.randrange(1, 6)) for _ in range(rng.randrange(3, 7))]
    return [START, *chosen]


def essence(outcome: types_pb2.ExecutionOutcome) -> tuple[object, ...]:
    raised = outcome.exception
    return outcome.stdout, outcome.limit, raised.type, raised.message.split(" (<step")[0]


async def chained(
    sandbox: SandboxClient, steps: list[str], session: str
) -> list[tuple[object, ...]]:
    """Step by step, each on its parent's parked state; stops at the first that fails."""
    outcomes = []
    for index, step in enumerate(steps):
        response = await sandbox.execute(
            ["pass", step], path=steps[:index], session=session, seed=7, **PATIENT
        )
        outcomes.append(essence(response.outcomes[1]))
        if response.outcomes[1].HasField("exception"):
            break
    return outcomes


@pytest.mark.parametrize("seed", range(12))
async def test_a_chain_of_forks_equals_re_execution(sandbox: SandboxClient, seed):
    steps = program(Random(seed))
    forked = await chained(sandbox, steps, f"{sandbox.session}-forked")
    assert forked[0] == ("", 0, "", ""), "what every program begins with"
    reached = steps[: len(forked)]
    replayed = await asyncio.gather(
        *(
            # A session of its own has nothing parked: the whole path is executed.
            sandbox.execute(
                [step],
                path=reached[:index],
                session=f"{sandbox.session}-{index}",
                seed=7,
                **PATIENT,
            )
            for index, step in enumerate(reached)
        )
    )
    assert forked == [essence(response.outcomes[0]) for response in replayed]

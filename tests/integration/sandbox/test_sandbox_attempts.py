"""Plain siblings are tried in their parent's interpreter; nobody can tell."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from rstar.v1 import types_pb2
from tests.support.sandbox import SandboxClient

PATIENT = {"wall": 60, "cpu": 60}
"""How long a step takes is not compared."""

START = (
    "from sympy import *\nfrom sympy.abc import *\n"
    "E = lambda s: sympify(s, globals(), rational=True)\n"
    "n, items, table = 1, [3, 1, 2], {'a': [0]}\n"
    "def f(v):\n    items.append(v)\n    return len(items)"
)
STEPS = [
    "n = n + {k}\nprint(n)",
    "items.append(n * {k})\nprint(items)",
    "items = [v for v in items if v % 2 == {k} % 2]\nprint(len(items))",
    "table['k{k}'] = list(items)\nprint(sorted(table))",
    "table['a'].append({k})\nprint(table['a'])",
    "print(f({k}), items)",
    "x = Symbol('x', positive=bool({k} % 2))\nprint(sqrt(x**2))",
    "e = expand((x + {k})**3)\nprint(e)",
    "print(solve(E('x**2 - {k}**2'), x))",
    "print(E('items'), E('f({k})'), items)",
    "d = Dummy()\nprint(d, Integer({k}).is_prime)",
    "print(integrate(x**{k}, (x, 0, 1)), nsimplify(0.{k}))",
    "F = Lambda(x, [x, E('x + {k}')])\nG = Lambda(x, E('x**{k}'))\nprint(F, G(2), E('G(x)'))",
    "F.args[1].append({k})\nprint(F.args[1], G(n), G == Lambda(y, y**{k}))",
    "m = Matrix([[{k}, 1], [0, 1]])\nprint(m.det())",
    "print(m.T)",
    "g = (v for v in range({k}))",
    "print(next(g))",
    "E = lambda s: {k}\nprint(E('x'))",
    "import random\nprint(random.random())",
    "import math\nprint(math.sqrt({k}))",
    "for n in range({k}):\n    pass\nprint(n)",
    "solve = {k}\nprint(solve)",
    "print(1 / (n - {k}))",
    "print(undefined_{k})",
    "print(f'{{n:0{k}d}}', hash('text'), {{'b', 'a'}})",
    "setattr(table, 'x', 1)",
    "class C:\n    pass\nprint(C.__name__)",
    "import sys\nsys.setrecursionlimit(200)",
]


def essence(outcome: types_pb2.ExecutionOutcome) -> tuple[object, ...]:
    raised = outcome.exception
    return outcome.stdout, outcome.limit, raised.type, raised.message.split(" (<step"), raised.line


@pytest.mark.parametrize("seed", range(4))
async def test_siblings_side_by_side_equal_siblings_alone(sandbox: SandboxClient, seed):
    rng = Random(seed)

    def step() -> str:
        return rng.choice(STEPS).format(k=rng.randrange(1, 6))

    assert not (await sandbox.run(START)).HasField("exception")
    path = [START]
    for depth in range(3):
        siblings = [step() for _ in range(6)]
        together = await sandbox.execute(siblings, path=path, seed=3, **PATIENT)
        alone = [
            await sandbox.execute(
                # `import os` is not plain, so this path is forked, and in a session of its own.
                [sibling],
                path=["import os", *path],
                session=f"{sandbox.session}-{depth}-{index}",
                seed=3,
                **PATIENT,
            )
            for index, sibling in enumerate(siblings)
        ]
        assert [essence(outcome) for outcome in together.outcomes] == [
            essence(response.outcomes[0]) for response in alone
        ]
        path += [
            sibling
            for sibling, outcome in zip(siblings, together.outcomes, strict=True)
            if not outcome.HasField("exception")
        ][:1]


@pytest.mark.parametrize("seed", range(4))
async def test_a_walk_through_a_tree_finds_every_state_as_it_was(sandbox: SandboxClient, seed):
    """Deeper, aside and back, one or more children at a time, two visitors at once."""
    rng = Random(100 + seed)
    paths, seen = [[START]], {}

    async def visit(path: list[str]) -> None:
        children = [
            rng.choice(STEPS).format(k=rng.randrange(1, 6)) for _ in range(rng.choice((1, 1, 3)))
        ]
        response = await sandbox.execute(children, path=path, seed=3, **PATIENT)
        for child, outcome in zip(children, response.outcomes, strict=True):
            seen[*path, child] = essence(outcome)
            if not outcome.HasField("exception"):
                paths.append([*path, child])

    for _ in range(8):
        await asyncio.gather(visit(rng.choice(paths[-4:])), visit(rng.choice(paths)))
    for index, (steps, outcome) in enumerate(seen.items()):
        alone = await sandbox.execute(
            # As above: forked, in a session of its own.
            [steps[-1]],
            path=["import os", *steps[:-1]],
            session=f"{sandbox.session}-{index}",
            seed=3,
            **PATIENT,
        )
        [expected] = alone.outcomes
        assert outcome == essence(expected), steps


async def test_one_that_loops_costs_its_siblings_nothing(sandbox: SandboxClient):
    siblings = ["print(1)", "while True:\n    pass", "print(2)", "n = 'x' * 10**7\nprint(n)"]
    response = await sandbox.execute([*siblings, "print(3)"], path=["a = 1"], cpu=1.5, wall=20)
    assert [outcome.limit for outcome in response.outcomes] == [
        types_pb2.LIMIT_KIND_UNSPECIFIED,
        types_pb2.LIMIT_KIND_CPU,
        types_pb2.LIMIT_KIND_UNSPECIFIED,
        types_pb2.LIMIT_KIND_OUTPUT,
        types_pb2.LIMIT_KIND_UNSPECIFIED,
    ]
    assert [response.outcomes[place].stdout for place in (0, 2, 4)] == ["1\n", "2\n", "3\n"]


async def test_a_sibling_that_is_not_plain_changes_nothing_for_plain_ones(sandbox: SandboxClient):
    siblings = ["import builtins\nbuiltins.print = None\na = 5", "print(a)", "print(a + 1)"]
    response = await sandbox.execute(siblings, path=["a = 1"])
    assert [outcome.stdout for outcome in response.outcomes] == ["", "1\n", "2\n"]

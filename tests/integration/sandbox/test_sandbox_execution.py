"""What a step's run comes back as."""

from __future__ import annotations

import asyncio

import pytest

from rstar.v1 import sandbox_pb2, types_pb2
from rstar_common.errors import InvalidInput
from tests.support.sandbox import SandboxClient

VALID = types_pb2.LIMIT_KIND_UNSPECIFIED


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("print(10**20)", "100000000000000000000\n"),
        ("print(1/3)", "0.3333333333333333\n"),
        ('print("no error")', "no error\n"),
        ("1 + 1", ""),
        ("x = 3\nx", ""),
        ("print('a', end='')", "a"),
        ("print('Traceback (most recent call last):')", "Traceback (most recent call last):\n"),
        ("print('ä √ 数')", "ä √ 数\n"),
        ("import sys; sys.stdout.write('raw')", "raw"),
        ("import sys; print('hidden', file=sys.stderr)", ""),
        ("print(__name__)", "__main__\n"),
        ("from sympy import *\nprint(solve(symbols('x')**2 - 4))", "[-2, 2]\n"),
        ("import numpy as np\nprint(np.linalg.det(np.eye(3)))", "1.0\n"),
        (
            "from dataclasses import dataclass\n@dataclass\nclass A:\n  x: int\nprint(A(1))",
            "A(x=1)\n",
        ),
        ("", ""),
    ],
)
async def test_values_come_back_as_python_prints_them(sandbox: SandboxClient, code, printed):
    assert await sandbox.printed(code) == printed


@pytest.mark.parametrize(
    ("code", "kind", "message", "line"),
    [
        ("x = 1\n1/0", "ZeroDivisionError", "division by zero", 2),
        ("def f():\n    return missing\n\nf()", "NameError", "name 'missing' is not defined", 2),
        ("raise ValueError('boom')", "ValueError", "boom", 1),
        ("x = (1,\ny = 2", "SyntaxError", "'(' was never closed (<step 1>, line 1)", 1),
        ("int('x')", "ValueError", "invalid literal for int() with base 10: 'x'", 1),
        ("exit()", "SystemExit", "", 1),
        ("import os\nos._exit(3)", "SystemExit", "3", 0),
        ("class E(Exception):\n  def __str__(self): raise E\nraise E", "E", "", 3),
        ("from sympy import *\nMatrix([1,2]).inv()", "NonSquareMatrixError", "", 2),
        ("import ctypes\nctypes.string_at(0)", "ProcessKilled", "killed by SIGSEGV", 0),
        ("assert 1 == 2, 'no'", "AssertionError", "no", 1),
    ],
)
async def test_exceptions_carry_type_message_and_line(
    sandbox: SandboxClient, code, kind, message, line
):
    outcome = await sandbox.run(code)
    assert outcome.limit == VALID
    assert outcome.exception.type == kind
    assert outcome.exception.line == line
    if message:
        assert outcome.exception.message == message


async def test_the_line_is_in_the_step_itself_not_in_the_path(sandbox: SandboxClient):
    path = ["def f(x):\n\n\n\n    return 1 / x"]
    outcome = await sandbox.run("a = 1\nf(0)", path=path)
    assert outcome.exception.type == "ZeroDivisionError"
    assert outcome.exception.line == 2


async def test_output_before_an_exception_is_kept(sandbox: SandboxClient):
    outcome = await sandbox.run("print('before')\nraise KeyError('k')")
    assert outcome.stdout == "before\n"
    assert outcome.exception.type == "KeyError"


async def test_a_step_sees_its_path_and_reports_its_own_output_alone(sandbox: SandboxClient):
    path = ["x = 5\nprint('one')", "y = x * 2\nprint('two')"]
    assert await sandbox.printed("print(x, y)", path=path) == "5 10\n"


async def test_siblings_start_from_the_same_state(sandbox: SandboxClient):
    path = ["items = [1]"]
    siblings = [f"items.append({n}); print(items)" for n in range(8)]
    response = await sandbox.execute(siblings, path=path)
    assert [o.stdout for o in response.outcomes] == [f"[1, {n}]\n" for n in range(8)]
    assert response.sandbox_version
    assert not response.path_failed


async def test_equal_siblings_each_get_an_outcome(sandbox: SandboxClient):
    response = await sandbox.execute(["print(1)", "print(1)", "open('/tmp/x', 'w')"] * 2)
    assert [o.stdout for o in response.outcomes] == ["1\n", "1\n", ""] * 2


async def test_a_path_that_fails_is_told_once_for_all(sandbox: SandboxClient):
    response = await sandbox.execute(["print(1)", "print(2)"], path=["x = 1", "1/0"])
    assert response.path_failed
    assert [o.exception.type for o in response.outcomes] == ["ZeroDivisionError"] * 2


@pytest.mark.parametrize(
    "step",
    [
        "import threading\nt = threading.Thread(target=print, args=('t',)); t.start(); t.join()",
        "f = open('/tmp/note', 'w'); f.write('kept'); f.flush()",
        "import os\nf = open('/tmp/note', 'w'); f.write('kept'); f.close()",
        "import os\npid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)",
        "import mmap\nm = mmap.mmap(-1, 4096); m[0] = 1",
        "f = open('/usr/local/lib/python3.11/os.py')",
        "import signal\nsignal.alarm(60)",
        "import socket\na, b = socket.socketpair()",
    ],
)
async def test_state_that_cannot_be_forked_is_replayed(sandbox: SandboxClient, step):
    follow = "print(sorted(k for k in dir() if len(k) == 1))\nimport os\nprint(os.listdir('/tmp'))"
    outcome = await sandbox.run(step)
    assert outcome.limit == VALID, outcome
    assert not outcome.HasField("exception"), outcome
    twice = [await sandbox.printed(follow, path=[step]) for _ in range(2)]
    assert twice[0] == twice[1]
    assert ("note" in twice[0]) == ("note" in step)


async def test_the_seed_decides_what_random_gives(sandbox: SandboxClient):
    code = "import random, numpy as np\nprint(random.random(), np.random.rand())"
    first, again, other = [
        (await sandbox.execute([code], seed=seed)).outcomes[0].stdout for seed in (1, 1, 2)
    ]
    assert first == again != other
    chained = await sandbox.execute(["print(random.random())"], path=[code], seed=1)
    replayed = await sandbox.execute([code + "\nprint(random.random())"], seed=1)
    assert replayed.outcomes[0].stdout == first + chained.outcomes[0].stdout


async def test_sessions_run_side_by_side_without_mixing(sandbox: SandboxClient):
    async def chain(n: int) -> str:
        session = f"{sandbox.session}-{n}"
        await sandbox.run(f"x = {n}", session=session)
        return await sandbox.printed("print(x)", path=[f"x = {n}"], session=session)

    assert await asyncio.gather(*(chain(n) for n in range(12))) == [f"{n}\n" for n in range(12)]


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("siblings", {"siblings": []}),
        ("siblings", {"siblings": ["1"] * 65}),
        ("limits.wall_seconds", {"siblings": ["1"], "wall": 3600}),
        ("limits.memory_bytes", {"siblings": ["1"], "memory_bytes": 2**50}),
        ("siblings[1]", {"siblings": ["1", "#" * 70_000]}),
        ("session", {"siblings": ["1"], "session": "s" * 1000}),
    ],
)
async def test_bad_requests_are_refused_naming_the_field(sandbox: SandboxClient, field, arguments):
    with pytest.raises(InvalidInput) as refusal:
        await sandbox.execute(**arguments)
    assert refusal.value.field == field


async def test_info_names_what_is_loaded(sandbox: SandboxClient):
    info = await sandbox.stub.GetSandboxInfo(sandbox_pb2.GetSandboxInfoRequest())
    assert info.platform in {"systrap", "ptrace", "kvm"}
    assert info.slots == 4
    assert "runsc" in info.runsc

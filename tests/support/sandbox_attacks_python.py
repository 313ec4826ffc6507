"""Attacks on the interpreter that runs the step itself."""

from __future__ import annotations

from tests.support.sandbox_attacks import Attack


def _python(
    name: str, holds: str, code: str, *ends: str, limits: tuple[tuple[str, float], ...] = ()
) -> Attack:
    return Attack(
        group="Python internals", name=name, holds=holds, code=code, ends=ends, limits=limits
    )


PYTHON = (
    _python(
        "bad-bytecode",  # reads beyond its constants: what it finds there differs from run to run
        "what it does to its interpreter ends with the step",
        "import types\ncode = (lambda: 0).__code__.replace(co_code=bytes([100, 255] * 40))\n"
        "types.FunctionType(code, {})()\nprint('HELD')",
        "*",
    ),
    _python(
        "null-pointer",
        "a crash is an exception of the step",
        "import ctypes; ctypes.string_at(0)",
        "ProcessKilled",
    ),
    _python(
        "abort-with-signals-ignored",
        "a crash is an exception of the step",
        "import os, signal\nfor s in (6, 11): signal.signal(s, signal.SIG_IGN)\nos.abort()",
        "ProcessKilled",
    ),
    _python(
        "deep-recursion",
        "an exception of the step",
        "def f(): f()\nf()",
        "RecursionError",
    ),
    _python(
        "stack-overflow",
        "a crash is an exception of the step",
        "import sys\nsys.setrecursionlimit(10**8)\nclass A:\n"
        "    def __repr__(self): return repr(self)\nrepr(A())",
        "ProcessKilled",
        "memory",
        "RecursionError",
    ),
    _python(
        "nested-brackets",
        "the compiler refuses",
        "exec('(' * 50000 + ')' * 50000)",
        "SyntaxError",
        "MemoryError",
        "memory",
        "RecursionError",
        "ProcessKilled",
    ),
    _python(
        "nested-operators",
        "the compiler refuses or the limit ends it",
        "exec('-' * 200000 + '1')",
        "SyntaxError",
        "MemoryError",
        "memory",
        "RecursionError",
        "ProcessKilled",
    ),
    _python(
        "pickle-with-a-command",
        "it can start nothing",
        "import pickle\npickle.loads(b\"cos\\nsystem\\n(S'echo BREACH'\\ntR.\")\nprint('HELD')",
    ),
    _python(
        "import-hook",
        "hooks end with the run",
        "import sys, types\nclass Finder:\n    def find_spec(self, name, path, target=None):\n"
        "        sys.modules[name] = types.ModuleType(name)\n"
        "sys.meta_path.insert(0, Finder())\nprint('HELD')",
    ),
    _python(
        "module-in-tmp",
        "a planted module is not imported by others",
        "import os\nopen('/tmp/random.py', 'w').write('print(666)')\n"
        "open('/tmp/sitecustomize.py', 'w').write('print(666)')\nprint('HELD')",
    ),
    _python(
        "destructors-at-the-end",
        "nothing runs after the report",
        "import weakref\nclass A:\n    def __del__(self): print('BREACH')\na = A()\nb = A()\n"
        "weakref.finalize(b, print, 'BREACH')\nprint('HELD')",
    ),
    _python(
        "collector-of-everything",
        "only its own interpreter is emptied",
        "import gc\n[o.clear() for o in gc.get_objects() if isinstance(o, dict)]",
        "*",
    ),
    _python(
        "replace-compile-and-exec",
        "only its own interpreter is changed",
        "import builtins\nbuiltins.exec = builtins.compile = builtins.print = None",
        "*",
    ),
    _python(
        "threads-at-the-end",
        "no thread goes on after the report",
        "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('BREACH'))).start()\n"
        "print('HELD')",
    ),
)

"""Attacks on siblings: what one run tries to change or see of those beside and after it."""

from __future__ import annotations

from tests.support.sandbox_attacks import Attack

UNTOUCHED = "print('untouched')"


def _sibling(
    name: str, holds: str, code: str, *, path: str = "", beside: str = UNTOUCHED, seen: str = ""
) -> Attack:
    return Attack(
        group="siblings",
        name=name,
        holds=holds,
        code=f"{code}\nprint('HELD')",
        path=(path,) if path else (),
        beside=beside,
        seen=seen or "untouched\n",
    )


SIBLINGS = (
    _sibling(
        "change-a-shared-list",
        "a sibling sees the parent's list, not its sibling's",
        "x.append('planted'); x[0].clear()",
        path="x = [[1], 2]",
        beside="import time; time.sleep(0.05); print(x)",
        seen="[[1], 2]\n",
    ),
    _sibling(
        "change-a-shared-default",
        "a function's default is the parent's",
        "f(1); f(2)",
        path="def f(v, seen=[]):\n    seen.append(v)\n    return seen",
        beside="import time; time.sleep(0.05); print(f(3))",
        seen="[3]\n",
    ),
    _sibling(
        "change-a-shared-array",
        "numpy's memory is the sibling's own",
        "a[:] = 666",
        path="import numpy as np\na = np.arange(4)",
        beside="import time; time.sleep(0.05); print(a)",
        seen="[0 1 2 3]\n",
    ),
    _sibling(
        "patch-a-builtin",
        "builtins are the sibling's own",
        "import builtins; builtins.len = lambda v: 666",
        beside="import time; time.sleep(0.05); print(len([1]))",
        seen="1\n",
    ),
    _sibling(
        "patch-sympy",
        "libraries are the sibling's own",
        "import sympy; sympy.solve = lambda *a: 'planted'; sympy.Symbol.__str__ = lambda s: 'bad'",
        beside="import sympy, time; time.sleep(0.05); x = sympy.Symbol('x'); print(sympy.solve(x))",
        seen="[0]\n",
    ),
    _sibling(
        "poison-sympys-cache",
        "no wrong result is remembered for a sibling",
        "import sympy\nfrom sympy.core.cache import clear_cache\n"
        "sympy.Integer.__add__ = lambda a, b: sympy.Integer(666)\nsympy.Integer(2) + 2\n"
        "sympy.cos.eval = classmethod(lambda c, a: sympy.Integer(7)); sympy.cos(sympy.Symbol('t'))",
        beside="import sympy, time; time.sleep(0.05); "
        "print(sympy.cos(sympy.Symbol('t')), sympy.Integer(2) + 2)",
        seen="cos(t) 4\n",
    ),
    _sibling(
        "spoil-what-libraries-return",
        "what a library remembers of its results is not handed out",
        "n = sympy.Symbol('n')\ne = (n + 1)**2 * (n + 2)\n"
        "for v in (sympy.solve(n**2 - 4), sympy.factorint(12), sympy.divisors(12),\n"
        "          sympy.roots(n**2 - 4), e.free_symbols, e.atoms(sympy.Symbol),\n"
        "          sympy.Poly(e).all_coeffs(), (n + 2).as_coefficients_dict(),\n"
        "          sympy.factor_list(e)[1], e.as_powers_dict(), (n + 2).as_ordered_terms()):\n"
        "    v.clear()",
        path="import sympy",
        beside="n = sympy.Symbol('n')\ne = (n + 1)**2 * (n + 2)\n"
        "print(sympy.solve(n**2 - 4), sympy.factorint(12), sympy.divisors(12),\n"
        "      sympy.roots(n**2 - 4), e.free_symbols, e.atoms(sympy.Symbol),\n"
        "      sympy.Poly(e).all_coeffs(), len((n + 2).as_coefficients_dict()),\n"
        "      sympy.factor_list(e)[1], len(e.as_powers_dict()), (n + 2).as_ordered_terms())",
        seen="[-2, 2] {2: 2, 3: 1} [1, 2, 3, 4, 6, 12] {-2: 1, 2: 1} {n} {n} [1, 4, 5, 2] 2"
        " [(n + 2, 1), (n + 1, 2)] 2 [n, 2]\n",
    ),
    _sibling(
        "use-up-an-iterator",
        "an iterator of the parent's stands where the parent left it",
        "print(next(i), next(i)); next(g)",
        path="i = iter([1, 2, 3]); g = (v for v in (4, 5))",
        beside="print(next(i), next(g))",
        seen="1 4\n",
    ),
    Attack(
        group="siblings",
        name="raise-a-decimal-flag",
        holds="the arithmetic's flags are the parent's",
        code="print(Decimal(1) / Decimal(3), 'HELD')",
        path=("from decimal import Decimal",),
        beside="import decimal; print(decimal.getcontext().flags[decimal.Inexact])",
        seen="False\n",
    ),
    _sibling(
        "change-through-a-closure",
        "what a function holds is the parent's",
        "f(); f(); d['k'].append(9); d['s'].add(7)",
        path="def make():\n    held = []\n    def add():\n        held.append(1)\n"
        "        return len(held)\n    return add\nf = make()\nd = {'k': [1], 's': {2}}",
        beside="print(f(), d)",
        seen="1 {'k': [1], 's': {2}}\n",
    ),
    _sibling(
        "patch-json",
        "json is the sibling's own",
        "import json; json.dumps = json.loads = lambda *a, **k: '{}'",
        beside="import json, time; time.sleep(0.05); print(json.dumps([1]))",
        seen="[1]\n",
    ),
    _sibling(
        "turn-five-into-six",
        "even a small integer's memory is the sibling's own",
        "import ctypes; ctypes.c_uint32.from_address(id(255) + 24).value = 254",
        beside="import time; time.sleep(0.05); print(int('255'), int('254') + 1)",
        seen="255 255\n",
    ),
    _sibling(
        "leave-a-file",
        "a sibling's /tmp has nothing of it",
        "open('/tmp/planted', 'w').write('x')",
        beside="import os, time; time.sleep(0.2); print(os.path.exists('/tmp/planted'))",
        seen="False\n",
    ),
    _sibling(
        "talk-through-a-pipe-of-the-parent",
        "siblings share no pipe",
        "import os; os.write(w, b'planted')",
        path="import os\nr, w = os.pipe(); os.set_blocking(r, False)",
        beside="import time; time.sleep(0.2)\ntry: print(os.read(r, 9))\n"
        "except BlockingIOError: print('empty')",
        seen="empty\n",
    ),
    _sibling(
        "talk-through-shared-memory",
        "siblings share no mapping",
        "m[0] = 66",
        path="import mmap\nm = mmap.mmap(-1, 4096)",
        beside="import time; time.sleep(0.2); print(m[0])",
        seen="0\n",
    ),
    _sibling(
        "talk-through-a-file-of-the-parent",
        "siblings share no open file",
        "f.write('planted'); f.flush()",
        path="f = open('/tmp/f', 'w+')",
        beside="import time; time.sleep(0.2); f.seek(0); print(repr(f.read()))",
        seen="''\n",
    ),
    _sibling(
        "talk-through-an-abstract-socket",
        "siblings reach each other by no address",
        "import socket\ntry:\n    s = socket.socket(socket.AF_UNIX); s.bind('\\0planted')\n"
        "    s.listen(); s.settimeout(0.4)\n    s.accept(); print('BREACH')\nexcept OSError: pass",
        beside="import socket, time\ntime.sleep(0.1)\n"
        "try: s = socket.socket(socket.AF_UNIX); s.connect('\\0planted'); print('connected')\n"
        "except OSError: print('nobody')",
        seen="nobody\n",
    ),
    _sibling(
        "kill-everybody",
        "signals reach nobody else",
        "import os\ntry: os.kill(-1, 9)\nexcept OSError: pass",
        beside="import time; time.sleep(0.3); print('untouched')",
    ),
    _sibling(
        "stop-everybody",
        "signals reach nobody else",
        "import os, signal\nfor pid in range(2, 200):\n  try:\n"
        "    if pid != os.getpid(): os.kill(pid, signal.SIGSTOP)\n  except OSError: pass",
        beside="import time; time.sleep(0.3); print('untouched')",
    ),
    Attack(
        group="siblings",
        name="stop-the-process-group",
        holds="only its own processes can be signalled",
        code="import os; os.killpg(0, 19)",
        beside="import time; time.sleep(0.1); print('untouched')",
        seen="untouched\n",
        limits=(("wall", 2.5),),
        ends=("wall", "PermissionError", "ProcessKilled"),
    ),
    _sibling(
        "talk-through-a-terminal",
        "a pseudo-terminal of one cannot be opened by another",
        "import os, time\nm, s = os.openpty(); os.write(m, b'planted\\n'); time.sleep(0.3)",
        beside="import os, time\ntime.sleep(0.1); found = []\nfor n in range(64):\n"
        "    try: found.append(os.open(f'/dev/pts/{n}', os.O_RDWR))\n"
        "    except OSError: pass\nprint(found)",
        seen="[]\n",
    ),
    _sibling(
        "talk-through-a-lock",
        "no lock is shared",
        "import fcntl, os, time\nf = open(os.__file__)\n"
        "try: fcntl.flock(f, fcntl.LOCK_EX); time.sleep(0.4)\nexcept OSError: pass",
        beside="import fcntl, os, time\ntime.sleep(0.2)\n"
        "try: fcntl.flock(open(os.__file__), fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\n"
        "except PermissionError: print('refused')\nexcept OSError: print('locked')",
        seen="refused\n",
    ),
    _sibling(
        "talk-through-a-record-lock",
        "no lock is shared",
        "import fcntl, os, time\nf = open(os.__file__)\n"
        "try: fcntl.lockf(f, fcntl.LOCK_SH); time.sleep(0.4)\nexcept OSError: pass",
        beside="import fcntl, os, struct, time\ntime.sleep(0.2)\n"
        "ask = struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0)\n"
        "try: print(fcntl.fcntl(open(os.__file__), fcntl.F_GETLK, ask))\n"
        "except PermissionError: print('refused')",
        seen="refused\n",
    ),
    _sibling(
        "watch-the-siblings-files",
        "nobody is told which files another opens",
        "import ctypes\nif ctypes.CDLL(None).inotify_init1(0) >= 0: print('BREACH')",
    ),
    _sibling(
        "take-the-siblings-memory-away",
        "the limits of a run are nobody else's to change",
        "import os, resource\nfor pid in range(2, 400):\n    try:\n"
        "        resource.prlimit(pid, resource.RLIMIT_AS, (1, 1)); print('BREACH')\n"
        "    except (OSError, ValueError): pass",
        beside="import time; time.sleep(0.3); print(len(bytearray(10**7)))",
        seen="10000000\n",
    ),
    _sibling(
        "talk-through-the-loopback",
        "a port of one is not there for another",
        "import socket, time\ntry:\n    s = socket.create_server(('127.0.0.1', 40404))\n"
        "    s.settimeout(0.4); s.accept(); print('BREACH')\nexcept OSError: pass",
        beside="import socket, time\ntime.sleep(0.1)\n"
        "try: socket.create_connection(('127.0.0.1', 40404), 0.2); print('connected')\n"
        "except OSError: print('nobody')",
        seen="nobody\n",
    ),
    _sibling(
        "draw-the-siblings-numbers",
        "each sibling draws what it would draw alone",
        "import random; [random.random() for _ in range(1000)]; random.seed(5)",
        path="import random; random.seed(1)",
        beside="import time; time.sleep(0.05); print(random.randrange(1000))",
        seen="137\n",
    ),
    _sibling(
        "move-and-trace",
        "directory, environment and hooks are the sibling's own",
        "import os, sys, threading\nos.chdir('/'); os.environ['PLANTED'] = '1'\n"
        "sys.path.insert(0, '/tmp'); sys.settrace(lambda *a: None)\n"
        "threading.settrace(print); sys.meta_path.clear()\nsys.settrace(None)",
        beside="import os, sys, time; time.sleep(0.05)\n"
        "print(os.getcwd(), os.environ.get('PLANTED'), '/tmp' in sys.path[:1], len(sys.meta_path))",
        seen="/tmp None False 3\n",
    ),
)

"""Attacks on resources: time, memory, processes, files, output."""

from __future__ import annotations

from tests.support.sandbox_attacks import Attack

SHORT = (("wall", 0.8), ("cpu", 0.8))
SMALL = (("wall", 4.0), ("cpu", 4.0), ("memory_bytes", 2**26))


def _resource(
    name: str, holds: str, code: str, *ends: str, limits: tuple[tuple[str, float], ...] = SHORT
) -> Attack:
    return Attack(group="resources", name=name, holds=holds, code=code, ends=ends, limits=limits)


RESOURCES = (
    _resource("endless-loop", "ended by its limit", "while True: pass", "wall", "cpu"),
    _resource("sleep", "ended by its limit", "import time; time.sleep(60)", "wall"),
    _resource(
        "loop-that-catches-all",
        "the limit is no exception to catch",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "wall",
        "cpu",
    ),
    _resource(
        "signals-ignored",
        "the limit is no signal to ignore",
        "import signal\nfor s in (1, 2, 3, 14, 15, 24, 26): signal.signal(s, signal.SIG_IGN)\n"
        "while True: pass",
        "wall",
        "cpu",
    ),
    _resource(
        "signals-blocked",
        "the limit is no signal to block",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        "wall",
        "cpu",
    ),
    _resource(
        "loop-in-c",
        "ended by its limit, whoever holds the interpreter's lock",
        "sum(range(10**12))",
        "wall",
        "cpu",
    ),
    _resource("power-tower", "ended by its limit", "x = 9**9**9", "wall", "cpu", "memory"),
    _resource(
        "backtracking-pattern",
        "ended by its limit",
        "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
        "wall",
        "cpu",
    ),
    _resource(
        "huge-factorial",
        "ended by its limit",
        "import sympy; sympy.factorial(10**8)",
        "wall",
        "cpu",
        "memory",
    ),
    _resource(
        "huge-decimal-text",
        "refused or ended by its limit",
        "import sys; sys.set_int_max_str_digits(0); str(7**(10**7))",
        "wall",
        "cpu",
    ),
    _resource(
        "threads-share-the-clock",
        "CPU time counts all threads",
        "import threading\ndef burn():\n    while True: pass\n"
        "for _ in range(3): threading.Thread(target=burn).start()\nburn()",
        "wall",
        "cpu",
    ),
    _resource(
        "fork-bomb",
        "bounded in number, ended with the run",
        "import os\nwhile True: os.fork()",
        "wall",
        "cpu",
        "BlockingIOError",
    ),
    _resource(
        "fork-bomb-that-catches",
        "bounded in number, ended with the run",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "wall",
        "cpu",
    ),
    _resource(
        "thread-bomb",
        "bounded in number",
        "import threading, time\nwhile True:\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "RuntimeError",
        "wall",
        "cpu",
        "memory",
    ),
    _resource(
        "one-huge-block", "ended by its limit", "x = bytearray(2**31)", "memory", limits=SMALL
    ),
    _resource(
        "many-blocks",
        "ended by its limit",
        "x = []\nwhile True: x.append(bytearray(2**20))",
        "memory",
        limits=SMALL,
    ),
    _resource(
        "numpy-block",
        "ended by its limit",
        "import numpy as np; x = np.ones(2**28)",
        "memory",
        "MemoryError",
        "_ArrayMemoryError",
        limits=SMALL,
    ),
    _resource(
        "memory-error-swallowed",
        "an exception caught frees nothing of the limit",
        "x = []\nwhile True:\n    try: x.append(bytearray(2**20))\n    except MemoryError: pass",
        "wall",
        "cpu",
        "memory",
        limits=(("wall", 1.0), ("cpu", 1.0), ("memory_bytes", 2**26)),
    ),
    _resource(
        "decompression-bomb",
        "ended by its limit",
        "import zlib\nd = zlib.compress(bytes(2**25))\nx = [zlib.decompress(d) for _ in range(99)]",
        "memory",
        "MemoryError",
        limits=SMALL,
    ),
    _resource(
        "endless-output",
        "cut at the limit, and said so",
        "while True: print('x' * 1000)",
        "output",
        limits=(("wall", 4.0), ("cpu", 4.0), ("output_bytes", 5000)),
    ),
    _resource(
        "one-huge-line",
        "cut at the limit, and said so",
        "import os\nos.write(1, b'x' * 2**22)\nwhile True: os.write(1, b'x' * 2**16)",
        "output",
        limits=(("wall", 4.0), ("cpu", 4.0), ("output_bytes", 5000)),
    ),
    _resource(
        "huge-file",
        "files have a size limit",
        "open('/tmp/big', 'wb').write(bytes(2**25))",
        "OSError",
        "ProcessKilled",
        limits=(("wall", 4.0), ("file_bytes", 2**20)),
    ),
    _resource(
        "sparse-file",
        "files have a size limit, whatever is in them",
        "open('/tmp/big', 'wb').truncate(2**40)",
        "OSError",
        "ProcessKilled",
        limits=(("wall", 4.0), ("cpu", 4.0)),
    ),
    _resource(
        "many-files",
        "/tmp is bounded",
        "for n in range(200): open(f'/tmp/{n}', 'wb').write(bytes(2**20))",
        "OSError",
        limits=(("wall", 4.0), ("cpu", 4.0)),
    ),
    _resource(
        "descriptors",
        "bounded in number",
        "import os\nwhile True: os.open('/dev/null', 0)",
        "OSError",
        limits=(("wall", 4.0), ("cpu", 4.0)),
    ),
    _resource(
        "nested-data",
        "an exception of the step",
        "import json; json.loads('[' * 10**6)",
        "RecursionError",
        "ProcessKilled",
        "memory",
        limits=(("wall", 4.0), ("cpu", 4.0)),
    ),
    _resource(
        "exception-that-never-ends",
        "the limit holds while an exception is described",
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
        "wall",
        "cpu",
    ),
)

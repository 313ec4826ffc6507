"""Attacks on the zygote, and through it on other problems."""

from __future__ import annotations

from tests.support.sandbox_attacks import Attack, guarded

PROBLEMS = (
    Attack(
        group="other problems",
        name="see-other-processes",
        holds="/proc shows nothing",
        code="import os\nprint('BREACH' if os.listdir('/proc') else 'HELD')",
        outside=True,
    ),
    Attack(
        group="other problems",
        name="probe-process-numbers",
        holds="no process of another can be signalled, traced or read",
        code="""
import ctypes, os
libc, own, hits = ctypes.CDLL(None), (os.getpid(), os.getppid()), 0
word = ctypes.create_string_buffer(8)
vector = (ctypes.c_size_t * 2)(ctypes.addressof(word), 8)
for pid in range(1, 300):
    if pid not in own:
        try:
            os.kill(pid, 0); hits += 1
        except OSError:
            pass
        hits += libc.syscall(310, pid, vector, 1, vector, 1, 0) > 0
print('BREACH' if hits else 'HELD')
""",
    ),
    Attack(
        group="other problems",
        name="processors-of-others",
        holds="where other processes run cannot be set",
        code="""
import os
seen = 0
for pid in range(1, 200):
    if pid != os.getpid():
        try:
            os.sched_setaffinity(pid, {0}); seen += 1
        except OSError:
            pass
print('BREACH' if seen else 'HELD')
""",
    ),
    Attack(
        group="other problems",
        name="leave-a-daemon",
        holds="no process outlives its run",
        code="""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            pass
    os._exit(0)
print('HELD')
""",
    ),
    Attack(
        group="other problems",
        name="give-a-child-to-the-zygote",
        holds="a child with another parent ends with the run too",
        code="""
import ctypes, os, time
if ctypes.CDLL(None).syscall(56, 0x8000 | 17, 0, 0, 0, 0) == 0:
    while True:
        pass
print('HELD')
""",
    ),
    Attack(
        group="other problems",
        name="leave-shared-memory",
        holds="none can be made",
        code=guarded(
            "from multiprocessing import shared_memory\n"
            "shared_memory.SharedMemory('planted', create=True, size=64)"
        ),
    ),
    Attack(
        group="other problems",
        name="leave-files",
        holds="the next run's /tmp is empty",
        code="import os\nos.makedirs('/tmp/a/b')\n"
        "open('/tmp/a/b/c', 'w').write('x')\nprint('HELD')",
    ),
    Attack(
        group="other problems",
        name="leave-a-timer",
        holds="no timer fires in a later run",
        code="import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.2)\nprint('HELD')",
    ),
    Attack(
        group="other problems",
        name="leave-hooks-for-the-fork",
        holds="hooks run in forks of the attacker's own path only",
        code="import os, sys, atexit\nos.register_at_fork(after_in_child=lambda: os._exit(0))\n"
        "atexit.register(print, 'BREACH')\nsys.addaudithook(lambda *a: None)\nprint('HELD')",
    ),
)


def _zygote(
    name: str, holds: str, code: str, *, limits: tuple[tuple[str, float], ...] = (("wall", 2.0),)
) -> Attack:
    return Attack(
        group="zygote",
        name=name,
        holds=holds,
        code=code,
        beside="import time; time.sleep(0.1); print('untouched')",
        seen="untouched\n",
        limits=limits,
        ends=("*",),
    )


_CHANNEL = "import os, socket, array\nc = socket.socket(fileno=os.dup(3))\n"

ZYGOTE = (
    _zygote("kill-the-parent", "it is another user's", "import os; os.kill(os.getppid(), 9)"),
    _zygote("stop-the-parent", "it is another user's", "import os; os.kill(os.getppid(), 19)"),
    _zygote("kill-the-first-process", "it is root's", "import os; os.kill(1, 9)"),
    _zygote("close-the-channel", "only the step ends", "import os; os.close(3); print('on')"),
    _zygote(
        "close-every-descriptor", "only the step ends", "import os; os.closerange(0, 256); print(1)"
    ),
    _zygote(
        "replace-the-channel",
        "only the step ends",
        "import os; r, w = os.pipe(); os.dup2(w, 3); os.dup2(w, 1); print('lost')",
    ),
    _zygote(
        "forge-a-report-and-go-on",
        "the run ends with the forged report, which speaks for itself alone",
        "import os\nos.write(3, b'D' + bytes(64))\nwhile True: pass",
    ),
    _zygote(
        "forge-a-greeting",
        "no process is taken for another's",
        f"{_CHANNEL}for _ in range(50): c.send(b'H')\nos.kill(os.getpid(), 9)",
    ),
    _zygote(
        "speak-as-the-zygote",
        "what is sent to the zygote is never taken as a command",
        f"{_CHANNEL}[c.send(kind + b'x' * 99) for kind in (b'A', b'R', b'F', b'J', b'')]",
    ),
    _zygote(
        "flood-the-channel",
        "the zygote reads no more than it wants",
        f"{_CHANNEL}c.setblocking(False)\n"
        "try:\n    while True: c.send(bytes(60000))\nexcept BlockingIOError: pass",
    ),
    _zygote(
        "send-descriptors",
        "the zygote takes none",
        f"{_CHANNEL}c.setblocking(False)\nrights = array.array('i', [1] * 60)\n"
        "message = [b'D'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]\n"
        "try:\n    while True: c.sendmsg(*message)\n"
        "except OSError: pass",
    ),
    _zygote(
        "shut-the-channel-down",
        "only the step ends",
        f"{_CHANNEL}c.shutdown(socket.SHUT_RDWR)",
    ),
    _zygote(
        "find-the-channel-in-memory",
        "the socket object, found, speaks for its own run alone",
        "import gc, socket\n[s.send(b'D' + bytes(9)) for s in gc.get_objects() "
        "if isinstance(s, socket.socket)]",
    ),
    _zygote(
        "walk-the-frames",
        "the interpreter's own frames hold nothing of others",
        "import sys\nf = sys._getframe()\nwhile f.f_back: f = f.f_back\n"
        "for name, value in list(f.f_locals.items()):\n"
        "    try: value.close()\n    except Exception: pass",
    ),
    _zygote(
        "rewrite-the-interpreter",
        "a rebuilt interpreter serves its own path alone",
        "import sys\nsteps = sys.modules['rstar_sandbox.guest.steps']\n"
        "steps.run = lambda *a: None\n"
        "kernel = sys.modules['rstar_sandbox.guest.kernel']\nkernel.fork_interpreter = lambda: 1",
    ),
    _zygote(
        "fork-behind-its-back",
        "a child that was not asked for is ended",
        "import ctypes\nif ctypes.PyDLL(None).syscall(56, 17, 0, 0, 0, 0) == 0:\n"
        "    while True: pass",
    ),
    _zygote(
        "burn-when-parked",
        "a parked interpreter that works is ended",
        "import sys\nclass Late:\n    def __del__(self):\n        while True: pass\n"
        "sys.modules['late'] = Late()\nsys.modules.clear()",
    ),
)

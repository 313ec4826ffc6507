"""One attack a test: it fails, or costs only itself."""

from __future__ import annotations

import pytest

from rstar.v1 import types_pb2
from tests.support.sandbox import SandboxClient, idle
from tests.support.sandbox_attacks import system_call
from tests.support.servers import Service

WALL, CPU = types_pb2.LIMIT_KIND_WALL, types_pb2.LIMIT_KIND_CPU
MEMORY, OUTPUT = types_pb2.LIMIT_KIND_MEMORY, types_pb2.LIMIT_KIND_OUTPUT


async def test_an_infinite_loop_hits_its_limit_and_costs_only_itself(sandbox: SandboxClient):
    response = await sandbox.execute(["while True: pass", "print('fine')"], wall=1.5, cpu=1.5)
    assert response.outcomes[0].limit in (WALL, CPU)
    assert response.outcomes[0].wall_seconds < 15, "a busy machine notices late, but it does"
    assert response.outcomes[1].stdout == "fine\n"


async def test_sleeping_hits_the_wall_limit(sandbox: SandboxClient):
    outcome = await sandbox.run("import time; print('z', flush=True); time.sleep(60)", wall=1)
    assert outcome.limit == WALL
    assert outcome.stdout == "z\n"


async def test_threads_hit_the_cpu_limit(sandbox: SandboxClient):
    code = """
import threading
def burn():
    while True: pass
for _ in range(3): threading.Thread(target=burn).start()
burn()
"""
    outcome = await sandbox.run(code, wall=8, cpu=0.5)
    assert outcome.limit == CPU


@pytest.mark.parametrize(
    "bomb",
    [
        "x = bytearray(2**31)",
        "x = []\nwhile True: x.append(bytearray(2**22))",
        "import numpy as np\nx = np.ones(2**29)",
        "x = 'a' * 2**33",
    ],
)
async def test_a_memory_bomb_hits_the_memory_limit(sandbox: SandboxClient, bomb):
    outcome = await sandbox.run(bomb)
    assert outcome.limit == MEMORY
    assert outcome.exception.type != "SandboxLost"
    assert await sandbox.printed("print('alive')") == "alive\n"


async def test_deep_recursion_is_an_exception(sandbox: SandboxClient):
    outcome = await sandbox.run("def f(): f()\nf()")
    assert outcome.exception.type == "RecursionError"


async def test_an_output_flood_is_cut_and_said_so(sandbox: SandboxClient):
    outcome = await sandbox.run("while True: print('x' * 1000)", output_bytes=5000)
    assert outcome.limit == OUTPUT
    assert outcome.stdout_truncated
    assert len(outcome.stdout) == 5000


async def test_a_fork_bomb_ends_with_the_run(sandbox: SandboxClient):
    outcome = await sandbox.run("import os\nwhile True:\n  os.fork()", wall=2)
    assert outcome.limit == WALL or outcome.exception.type in ("BlockingIOError", "OSError")
    assert await sandbox.printed("print('alive')") == "alive\n"


async def test_a_daemon_does_not_outlive_its_step(sandbox: SandboxClient, sandbox_service: Service):
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: pass
    os._exit(0)
print('left one')
"""
    assert await sandbox.printed(code) == "left one\n"
    # Nothing inside can see it, if it is there: runs have users of their own.
    assert await idle(sandbox_service)


async def test_a_large_file_is_refused(sandbox: SandboxClient):
    outcome = await sandbox.run("open('/tmp/big', 'wb').write(b'x' * 2**26)")
    assert outcome.exception.type in ("OSError", "ProcessKilled")


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('1.1.1.1', 53), timeout=1)",
        "import socket; socket.create_connection(('127.0.0.1', 22), timeout=1)",
        "import urllib.request; urllib.request.urlopen('http://example.com', timeout=1)",
        "import socket; socket.getaddrinfo('example.com', 80)",
        "import subprocess; subprocess.run(['/bin/sh', '-c', 'id'], check=True)",
        "open('/etc/shadow').read()",
        "open('/etc/hostname').read()",
        "open('/var/log/dpkg.log').read()",
        "open('/proc/1/environ').read()",
        "open('/proc/self/mem', 'r+b')",
        "open('/usr/local/lib/python3.11/os.py', 'a')",
        "open('/opt/rstar/rstar_sandbox/guest/steps.py', 'a')",
        "import os; os.setuid(0)",
        "import os; os.kill(1, 9)",
        "import os; os.mkdir('/evil')",
        "import os; os.chroot('/tmp')",
        "import os; os.memfd_create('x')",
    ],
)
async def test_reaching_out_is_an_exception(sandbox: SandboxClient, code):
    outcome = await sandbox.run(code)
    assert outcome.HasField("exception"), outcome


@pytest.mark.parametrize(
    ("name", "number", "arguments"),
    [
        ("ptrace", 101, "16, 1, 0, 0"),
        ("mount", 165, "b'none', b'/tmp', b'tmpfs', 0, 0"),
        ("unshare", 272, "0x10000000"),
        ("setns", 308, "0, 0"),
        ("process_vm_readv", 310, "1, 0, 0, 0, 0, 0"),
        ("io_uring_setup", 425, "1, 0"),
        ("shmget", 29, "1, 4096, 0o1600"),
        ("bpf", 321, "0, 0, 0"),
        ("perf_event_open", 298, "0, 0, 0, 0, 0"),
        ("userfaultfd", 323, "0"),
        ("seccomp", 317, "1, 0, 0"),
        ("open_by_handle_at", 304, "0, 0, 0"),
        ("keyctl", 250, "0, 0, 0, 0, 0"),
        ("clone with namespaces", 56, "0x10000000 | 17, 0, 0, 0, 0"),
    ],
)
async def test_kernel_interfaces_are_refused(sandbox: SandboxClient, name, number, arguments):
    outcome = await sandbox.run(system_call(number, arguments))
    assert outcome.stdout == "HELD\n" or outcome.exception.type == "ProcessKilled", name


async def test_nothing_is_to_be_seen_in_proc(sandbox: SandboxClient):
    assert await sandbox.printed("import os; print(os.listdir('/proc'))") == "[]\n"


async def test_the_environment_holds_no_secrets(sandbox: SandboxClient):
    printed = await sandbox.printed("import os; print(sorted(os.environ))")
    assert "RSTAR" not in printed
    assert "KEY" not in printed


async def test_sessions_cannot_see_each_other(sandbox: SandboxClient):
    plant = """
import builtins, os, sys
builtins.planted = sys.planted = os.environ['PLANTED'] = 'yes'
open('/tmp/planted', 'w').write('yes')
"""
    look = """
import builtins, os, sys
print(hasattr(builtins, 'planted'), hasattr(sys, 'planted'), os.environ.get('PLANTED'))
print(os.path.exists('/tmp/planted'))
"""
    for n in range(4):
        await sandbox.run(plant, session=f"{sandbox.session}-a{n}")
    for n in range(4):
        printed = await sandbox.printed(look, session=f"{sandbox.session}-b{n}")
        assert printed == "False False None\nFalse\n"


async def test_siblings_cannot_reach_each_other(sandbox: SandboxClient):
    siblings = [
        "import builtins; builtins.planted = 1; x.append('a')",
        "import builtins; print(hasattr(builtins, 'planted'), x)",
        "import os; os.kill(-1, 9)",
        "import os; os.kill(os.getppid(), 9)",
        "import time; time.sleep(0.3); print('undisturbed')",
    ]
    response = await sandbox.execute(siblings, path=["x = []"])
    assert response.outcomes[1].stdout == "False []\n"
    assert response.outcomes[4].stdout == "undisturbed\n"
    assert await sandbox.printed("print(x)", path=["x = []"]) == "[]\n"


@pytest.mark.parametrize(
    "sabotage",
    [
        "import os; os.close(3)",
        "import os; os.write(3, b'D' + bytes(100))",
        "import os; os.write(3, b'\\0' * 5); print('after')",
        "import sys; sys.stdout = None",
        "import sys; sys.stdout.close()",
        "import os; os.close(1)",
        "import sys; sys.modules.clear()",
        "import socket; socket.socket.send = None; socket.socket.recvmsg = None",
        "import os; os._exit = None; raise SystemExit",
        "import gc; [o.clear() for o in gc.get_objects() if isinstance(o, dict)]",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
        "import sys; sys.setrecursionlimit(5)",
        "import builtins; builtins.exec = builtins.compile = None",
        "import signal; signal.signal(signal.SIGSEGV, signal.SIG_IGN); import os; os.abort()",
    ],
)
async def test_sabotage_of_the_interpreter_harms_only_its_own_path(
    sandbox: SandboxClient, sabotage
):
    response = await sandbox.execute([sabotage, "print('beside')"], wall=3)
    assert response.outcomes[1].stdout == "beside\n"
    await sandbox.execute(["print('below')"], path=[sabotage], wall=3)
    response = await sandbox.execute(["print('beside')"])
    assert response.outcomes[0].stdout == "beside\n"


async def test_a_raw_fork_behind_our_back_is_not_forever(sandbox: SandboxClient):
    code = """
import ctypes
if ctypes.PyDLL(None).syscall(56, 17, 0, 0, 0, 0) == 0:
    while True: pass
print('parent')
"""
    outcome = await sandbox.run(code, wall=2)
    assert outcome.stdout in ("parent\n", "")
    assert await sandbox.printed("print('alive')", session="another") == "alive\n"


async def test_limits_cannot_be_raised_by_the_code(sandbox: SandboxClient):
    code = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
"""
    outcome = await sandbox.run(code)
    assert outcome.exception.type in ("ValueError", "PermissionError", "OSError")


async def test_devices_of_administrators_cannot_be_opened(sandbox: SandboxClient):
    code = (
        "import os\nfor name in ('fuse', 'net/tun', 'ptmx', 'pts/ptmx', 'null'):\n"
        "    try:\n        os.close(os.open(f'/dev/{name}', os.O_RDWR))\n"
        "        print(name)\n    except OSError:\n        pass"
    )
    assert await sandbox.printed(code) == "null\n"


async def test_what_reads_docstrings_at_import_can_be_imported(sandbox: SandboxClient):
    code = (
        "import numpy.ma, sympy.vector, sympy.physics.mechanics\nfrom sympy import *\n"
        "x = symbols('x')\nprint(lambdify(x, x**2 + 1, 'numpy')(2), numpy.ma.array([1, 2]).sum())"
    )
    assert await sandbox.printed(code) == "5 3\n"

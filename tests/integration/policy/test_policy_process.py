"""What becomes of an engine process, with small programs in SGLang's place."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from rstar_common.errors import Unavailable
from rstar_policy import die_with_parent
from rstar_policy.sglang_command import Launch
from rstar_policy.sglang_process import started
from tests.support.eventually import eventually
from tests.support.policy_engine import group_members, is_alive

SERVER = """
import http.server, json, pathlib, subprocess, sys
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
key = json.loads(pathlib.Path(arguments["--config"]).read_text())["api-key"]
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == f"Bearer {key}"
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        print("asked", flush=True)

http.server.HTTPServer(("127.0.0.1", int(arguments["--port"])), Handler).serve_forever()
"""


def launch(program: str, *, start_seconds: float = 90.0) -> Launch:
    return Launch(
        arguments=["-c", program],
        environment={},
        python=sys.executable,
        start_seconds=start_seconds,
    )


async def test_a_server_ends_with_its_block_and_takes_its_workers_along(tmp_path: Path):
    async with started(launch(SERVER), log_file=tmp_path / "log") as server:
        group = server.pid
        assert len(group_members(group)) == 2
    await eventually(lambda: not group_members(group))


def command_line(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def private_key(key_file: Path) -> bytes:
    """The key in a file that nobody else may reach."""
    assert key_file.parent.stat().st_mode & 0o077 == 0
    return str(json.loads(key_file.read_text())["api-key"]).encode()


def running_with(argument: str) -> list[int]:
    """Processes that were started with this argument, however far they got."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and argument.encode() in command_line(int(entry.name)):
                found.append(int(entry.name))
    return found


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()] if directory.exists() else []


async def test_the_key_is_on_no_command_line_and_its_file_goes_with_the_server(tmp_path: Path):
    async with started(launch(SERVER), log_file=tmp_path / "log") as server:
        arguments = command_line(server.pid)
        key_file = Path(arguments[arguments.index(b"--config") + 1].decode())
        key = private_key(key_file)
        assert len(key) > 20
        assert all(key not in argument for argument in arguments)
    assert key_file.name not in names_in(key_file.parent)


async def test_a_death_is_noticed_and_told(tmp_path: Path):
    async with started(launch(SERVER), log_file=tmp_path / "log") as server:
        os.kill(server.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            assert await server.exited() == "killed by SIGKILL"
        group = server.pid
    await eventually(lambda: not group_members(group))


async def test_a_server_that_fails_to_start_says_why(tmp_path: Path):
    program = "import sys; print('no such model', file=sys.stderr); sys.exit(3)"
    with pytest.raises(Unavailable, match=r"exited with 3(.|\n)*no such model"):
        async with started(launch(program), log_file=tmp_path / "log"):
            pass


async def test_a_server_that_never_gets_ready_is_killed(tmp_path: Path):
    program = f"import time; time.sleep(600)  # {tmp_path}"
    with pytest.raises(Unavailable, match="not ready after 1 s"):
        async with started(launch(program, start_seconds=1.0), log_file=tmp_path / "log"):
            pass
    assert not running_with(program)


async def test_the_log_of_the_run_before_is_kept(tmp_path: Path):
    (tmp_path / "log").write_text("why it died")
    async with started(launch(SERVER), log_file=tmp_path / "log"):
        pass
    assert (tmp_path / "log.1").read_text() == "why it died"
    assert "asked" in (tmp_path / "log").read_text()


async def test_a_program_dies_with_the_process_that_started_it():
    middle = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, {die_with_parent.__file__!r}, "
        "str(os.getpid()), sys.executable, '-c', "
        "'import time; print(1, flush=True); time.sleep(600)'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", middle, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    assert is_alive(child)
    process.kill()
    await process.communicate()
    await eventually(lambda: not is_alive(child))

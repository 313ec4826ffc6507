"""Bringing a stack up and down: a start that fails says why, and a copied home is left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rstar_cli.commands.stack import bring_up
from rstar_cli.local.lock import Purpose, copying, holder, not_up, take
from rstar_cli.local.stack import Launched, launch, stop_stack
from rstar_cli.local.state import StackOptions, create
from rstar_common.errors import Unavailable
from tests.support.command_line import CommandLine

OPTIONS = StackOptions(policy="bootstrap", ppm=False)

COPYING = """
import asyncio, sys
from pathlib import Path
from rstar_cli.local.foundations import foundations
from rstar_cli.local.lock import Purpose
from rstar_cli.local.nats import nats_ready
from rstar_cli.local.state import load

async def copy():
    home = Path(sys.argv[1])
    state = load(home)
    async with foundations(home, state, Purpose.BACKUP):
        print("begun", flush=True)
        sys.stdin.read()
        await nats_ready(state.nats)
        print("done", flush=True)

asyncio.run(copy())
"""
"""What a backup does, as long as the test wants it to; its servers must live to its end."""

HOLDING = """
import sys
from pathlib import Path
from rstar_cli.local.lock import Purpose, take

lock = take(Path(sys.argv[1]), Purpose[sys.argv[2]])
print("begun", flush=True)
sys.stdin.read()
"""


async def test_a_supervisor_that_ends_at_once_is_not_waited_for_and_says_why(tmp_path):
    (tmp_path / "data").write_text("where a directory should be")
    with pytest.raises(Unavailable, match=r"supervisor has ended(.|\n)*NotADirectoryError"):
        await bring_up(tmp_path, OPTIONS, 20, json=True)


async def test_a_stack_given_up_at_once_leaves_no_supervisor(tmp_path):
    launched = launch(tmp_path, OPTIONS)
    assert await stop_stack(tmp_path, launched.supervisor)
    assert launched.supervisor.wait(30) in (0, -signal.SIGTERM)
    assert holder(tmp_path) is None


def test_who_found_another_supervisor_waits_for_what_that_one_brings_up(tmp_path):
    refused = subprocess.Popen(["true"])
    refused.wait()
    launched = Launched(create(tmp_path, OPTIONS), refused)
    assert launched.has_ended(tmp_path)
    with held(tmp_path, HOLDING, "SUPERVISOR"):
        assert not launched.has_ended(tmp_path)
    assert launched.has_ended(tmp_path)


@pytest.mark.parametrize("purpose", Purpose)
def test_the_lock_tells_what_it_is_held_for(tmp_path, purpose):
    with held(tmp_path, HOLDING, purpose.name) as process:
        assert take(tmp_path, Purpose.BACKUP) is None
        assert take(tmp_path) is None
        if purpose is Purpose.SUPERVISOR:
            assert (holder(tmp_path), copying(tmp_path)) == (process.pid, "")
        else:
            assert holder(tmp_path) is None
            assert copying(tmp_path).startswith(f"a {purpose.name.lower()} of {tmp_path} runs")


def test_a_home_that_is_copied_is_left_alone(tmp_path):
    create(tmp_path, OPTIONS)
    rstar = CommandLine(tmp_path)
    with held(tmp_path, COPYING) as process:
        for command, status in {
            ("up", "--policy", "bootstrap", "--wait", "5"): 1,
            ("down",): 1,
            ("status",): 3,
            ("solve", "1 + 1?"): 3,
            ("backup", str(tmp_path / "b")): 1,
        }.items():
            with rstar.begin(*command) as asked:
                said, _ = asked.communicate(timeout=60)
            assert f"a backup of {tmp_path} runs (process {process.pid}); wait" in said, command
            assert asked.returncode == status, command
        said, _ = process.communicate("", timeout=60)
        assert (said, process.returncode) == ("done\n", 0)
    assert copying(tmp_path) == ""
    assert not_up(tmp_path) == "the stack is not up; start it with: rstar up"


@contextmanager
def held(home, script, *arguments) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", script, str(home), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.terminate()

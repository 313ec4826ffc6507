"""Bringing a stack up and down: a start that fails says why and leaves nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rstar_cli.commands.stack import bring_up
from rstar_cli.local.lock import holder
from rstar_cli.local.stack import Launched, launch, stop_stack
from rstar_cli.local.state import StackOptions, create
from rstar_common.errors import Unavailable

OPTIONS = StackOptions(policy="bootstrap", ppm=False)

HOLDING = """
import sys
from pathlib import Path
from rstar_cli.local.lock import take

lock = take(Path(sys.argv[1]))
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
    with held(tmp_path, HOLDING):
        assert not launched.has_ended(tmp_path)
    assert launched.has_ended(tmp_path)


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

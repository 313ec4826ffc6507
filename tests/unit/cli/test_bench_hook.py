"""`rstar bench NAME` hands its arguments to the service's own bench."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from rstar_cli.commands.bench import SERVICES


def rstar(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rstar_cli.main", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SERVICES)
def test_every_bench_that_is_listed_exists(name):
    assert find_spec(SERVICES[name][0])


def test_arguments_and_exit_status_pass_through():
    result = rstar("sandbox", "--nonsense", "3")
    assert result.returncode == 2
    assert "rstar_sandbox.bench: error: unrecognized arguments: --nonsense 3" in result.stderr


def test_help_lists_the_benches():
    result = rstar("--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in SERVICES)

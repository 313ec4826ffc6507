"""The `rstar` command as a person runs it, in a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rstar_cli.local.process import program

LONG_SEARCH = "Let f(x) = 3*x**2 - 5*x + 2. Let g(y) = -7*y**3 + y - 1. What is f(g(4))?"
MANY_PROGRAMS = ("--strategy", "best-of-n", "--rollouts", "12")
"""A question of which random programs find many readings, and settings that let them."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs `rstar` against the stack of one home."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variables of the services, beside the command's own."""

    def __call__(self, *arguments: str, expect: int | None = 0) -> str:
        """Run to the end; returns stdout. Fails on another exit status than `expect`, if any."""
        done = subprocess.run(
            [program("rstar"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
        )
        if expect is not None and done.returncode != expect:
            raise AssertionError(
                f"rstar {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def json(self, *arguments: str, expect: int | None = 0) -> Any:
        """As above with `--json`; the last line, parsed."""
        return json.loads(self(*arguments, "--json", expect=expect).splitlines()[-1])

    @contextmanager
    def begin(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that is still running; killed at the end of the block if it then is."""
        with subprocess.Popen(
            [program("rstar"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment(),
            start_new_session=True,
            # A shell that starts a job in the background ignores SIGINT for it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Ours, with this home and whatever `extra` says."""
        own = {"RSTAR_HOME": str(self.home), "COLUMNS": "120"}
        return {**os.environ, **own, **self.settings, **(extra or {})}

"""One whole stack for the session: every service, real NATS, S3 and gVisor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command_line import CommandLine


@pytest.fixture(scope="session")
def rstar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command, with its stack up. The bootstrap proposer needs no model."""
    # After this long a dead searcher's work is given to another: tests that kill are quick.
    settings = {"RSTAR_SEARCHER_NATS__ACK_WAIT_SECONDS": "6"}
    run = CommandLine(tmp_path_factory.mktemp("stack"), settings)
    try:
        run("up", "--policy", "bootstrap", "--no-ppm", "--sandbox-slots", "2")
        yield run
    finally:
        run("down")

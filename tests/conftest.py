"""Real servers, started once a session; connections and names are each test's own."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rstar_common.config import NatsSettings, ObjectStoreSettings
from tests.support.servers import nats_server, object_store


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_settings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsSettings]:
    """One nats-server for the session."""
    async with nats_server(tmp_path_factory.mktemp("nats")) as settings:
        yield settings


@pytest.fixture(scope="session")
def nats_url(nats_settings: NatsSettings) -> str:
    """The URL of the session's nats-server, credentials included."""
    [server] = nats_settings.servers
    credentials = f"{nats_settings.user}:{nats_settings.password.get_secret_value()}"
    return server.replace("://", f"://{credentials}@")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def object_store_settings(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[ObjectStoreSettings]:
    """One S3 server for the session."""
    async with object_store(tmp_path_factory.mktemp("s3")) as settings:
        yield settings


_STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember how the session went."""
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End with the tests' own status.

    With every native library of the project loaded in one process (torch, gRPC, the S3 client)
    CPython 3.11 crashes while it takes itself down, after all tests, fixtures and servers have
    ended. No service loads them all; which two do not get along is not known yet.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if _STATUS in config.stash:
        os._exit(config.stash[_STATUS])

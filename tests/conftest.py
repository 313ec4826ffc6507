"""Real servers, started once a session; connections and names are each test's own."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import AsyncIterator
from typing import Any

import hypothesis
import pytest
import pytest_asyncio

from rstar_common.config import NatsSettings, ObjectStoreSettings
from tests.support.servers import nats_server, object_store

# No example has to be quick: how long one takes is a property of the machine.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


ONE_PROCESS = ("tests/e2e/", "tests/integration/policy/", "tests/integration/sandbox/")
"""Folders whose tests share what is dear to start: a stack, an engine, a sandbox service."""


def home_of(nodeid: str) -> str:
    """What a test stays together with when several processes run them: its file, or its folder."""
    path = nodeid.partition("::")[0]
    return next((folder for folder in ONE_PROCESS if path.startswith(folder)), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process homes, not tests. (`--dist loadgroup` says so by marks, which pytest-xdist
    3.8 loses with pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByHome(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return home_of(nodeid)

    return ByHome(config, log)


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


def pytest_unconfigure() -> None:
    """Keep sentencepiece's type table alive while the interpreter takes itself down.

    transformers' AutoTokenizer imports it, and the destructor that SWIG gave the table creates an
    object of a type that CPython 3.11 has freed by then: exit 139 after the last test.
    """
    if table := sys.modules.get("swig_runtime_data4"):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(vars(table)["type_pointer_capsule"]))

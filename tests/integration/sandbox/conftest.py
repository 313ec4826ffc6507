"""One sandbox service on real gVisor for the session."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from rstar_common import transport
from tests.support.sandbox import SandboxClient, sandbox_client
from tests.support.servers import Service, service

READY_SECONDS = 240.0
"""The first start builds the root file system."""


@pytest.fixture(scope="session", autouse=True)
def _patience() -> Iterator[None]:
    """Pings may wait: these tests starve the machine, and others run beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "KEEPALIVE_SECONDS", 60)
        yield


@pytest.fixture(scope="session")
def _runsc() -> None:
    if not shutil.which("runsc"):
        pytest.fail("runsc is not installed: run infra/gvisor/install.sh", pytrace=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox_service(
    tmp_path_factory: pytest.TempPathFactory, _runsc: None
) -> AsyncIterator[Service]:
    """`rstar-sandbox` with two sandboxes."""
    environment = {"RSTAR_SANDBOX_SANDBOX__SANDBOXES": "2"}
    directory = tmp_path_factory.mktemp("sandbox")
    async with service("sandbox", directory, environment, ready_seconds=READY_SECONDS) as running:
        yield running


@pytest_asyncio.fixture
async def sandbox(sandbox_service: Service) -> AsyncIterator[SandboxClient]:
    async with sandbox_client(sandbox_service.address) as client:
        yield client

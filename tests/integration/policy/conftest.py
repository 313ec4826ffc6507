"""One policy service on one SGLang engine for the session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.policy_engine import PolicyService, policy_service
from tests.support.policy_model import write_tiny_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Two sets of weights for one architecture."""

    first: Path
    second: Path


@pytest.fixture(scope="session")
def policy_models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Tiny checkpoints that differ in their weights only."""
    root = tmp_path_factory.mktemp("policy-models")
    return Models(
        first=write_tiny_model(root / "first", seed=0),
        second=write_tiny_model(root / "second", seed=1),
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def policy_under_test(
    tmp_path_factory: pytest.TempPathFactory, policy_models: Models
) -> AsyncIterator[PolicyService]:
    """`rstar-policy` serving the first of `policy_models`, promoted through the real store."""
    directory = tmp_path_factory.mktemp("policy")
    async with policy_service(directory, policy_models.first) as service:
        yield service

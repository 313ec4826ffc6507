"""Build the engine that the settings name, and the components it needs running."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from rstar_common.lifecycle import Component
from rstar_common.rpc import Readiness
from rstar_policy.bootstrap_engine import BootstrapEngine
from rstar_policy.engine import Engine
from rstar_policy.settings import PolicySettings


@asynccontextmanager
async def build(
    settings: PolicySettings, readiness: Readiness
) -> AsyncGenerator[tuple[Engine, Mapping[str, Component]]]:
    """Yield the engine and its components; what they need is closed afterwards."""
    if settings.engine == "bootstrap":
        # Imported here: sympy takes most of a second.
        from rstar_policy.bootstrap.proposer import RandomProgramProposer

        readiness.set(True)
        yield BootstrapEngine(RandomProgramProposer()), {}
        return

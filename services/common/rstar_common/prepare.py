"""Makes what services may not make themselves, with the operator's credentials, once.

    RSTAR_PREPARE_NATS__SERVERS='["nats://127.0.0.1:4222"]' RSTAR_PREPARE_NATS__USER=rstar
    RSTAR_PREPARE_NATS__PASSWORD=… RSTAR_PREPARE_OBJECT_STORE__ENDPOINT=http://127.0.0.1:9000
    RSTAR_PREPARE_OBJECT_STORE__ACCESS_KEY=… RSTAR_PREPARE_OBJECT_STORE__SECRET_KEY=…

The bucket, and every stream and key-value bucket of `streams`. Doing it again changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio

import nats.errors
from nats.js.errors import APIError
from pydantic_settings import SettingsConfigDict

from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected
from rstar_common.config import ServiceSettings, load_settings
from rstar_common.errors import Unavailable
from rstar_common.lifecycle import run_main
from rstar_common.streams import ensure_topology
from rstar_common.telemetry import setup_logging


class PrepareSettings(ServiceSettings):
    """Where NATS and the store are, and the operator's credentials there."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_PREPARE_")


async def prepare(settings: PrepareSettings) -> None:
    """Make what is missing.

    Raises:
        Unavailable: NATS or the store does not answer, or not to these credentials.
    """
    store = ObjectStore(settings.object_store)

    async def topology() -> None:
        try:
            async with connected(settings.nats, name="prepare") as client:
                await ensure_topology(client.jetstream(), replicas=settings.nats.replicas)
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"nats: {error}") from error

    async with asyncio.TaskGroup() as group:
        group.create_task(store.ready())
        group.create_task(topology())


def main() -> None:
    """Prepare and end."""
    argparse.ArgumentParser(
        prog="python -m rstar_common.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = load_settings(PrepareSettings)
    setup_logging("prepare", settings.telemetry)
    run_main(prepare(settings))


if __name__ == "__main__":
    main()

"""A private nats-server with JetStream: loopback, a user a service, every write synced.

`sync_interval: always` because the default loses up to two minutes of acknowledged
messages with the power; it costs 0.2 ms a publish.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import nats
import nats.errors
from pydantic import SecretStr

from rstar_cli.local.credentials import nats_password
from rstar_cli.local.ports import HOST, until_open
from rstar_cli.local.process import Command, program
from rstar_common.config import NatsSettings
from rstar_common.errors import Unavailable
from rstar_common.nats_roles import OPERATOR, USERS, authorization, inbox

READY_SECONDS = 30.0


def nats_settings(port: int, user: str, password: str) -> NatsSettings:
    """What a client of the server needs."""
    return NatsSettings(servers=[f"nats://{HOST}:{port}"], user=user, password=SecretStr(password))


def nats_command(directory: Path, *, port: int, user: str, password: str) -> Command:
    """Write the server's configuration, readable by its owner alone, and say how to start it.

    `user` is the operator; each service's user has a password derived from the operator's.
    """
    passwords = {name: nats_password(password, name) for name in USERS}
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "nats.conf"
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    config.write_text(
        f"""\
listen: {json.dumps(f"{HOST}:{port}")}
server_name: rstar
max_payload: 1MB
jetstream {{
  store_dir: {json.dumps(str(directory / "jetstream"))}
  sync_interval: always
}}
{authorization({OPERATOR: password, **passwords}, operator=user)}"""
    )
    return Command(
        name="nats",
        argv=(program("nats-server"), "--config", str(config)),
        log=directory / "nats.log",
    )


async def nats_ready(settings: NatsSettings, *, seconds: float = READY_SECONDS) -> None:
    """Return once JetStream answers.

    Raises:
        Unavailable: it did not, within `seconds`.
    """
    [server] = settings.servers
    try:
        async with asyncio.timeout(seconds):
            await until_open(int(server.rpartition(":")[2]))
            client = await nats.connect(
                settings.servers,
                user=settings.user,
                password=settings.password.get_secret_value(),
                inbox_prefix=inbox(settings.user),
                allow_reconnect=False,
            )
            await client.jetstream().account_info()
            await client.close()
    except (nats.errors.Error, TimeoutError) as error:
        raise Unavailable(f"nats-server on {server} did not answer: {error}") from error

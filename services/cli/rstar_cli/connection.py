"""Where the command finds the system: the local stack's state, or the environment.

    RSTAR_CLI_SEARCHER          host:port of any searcher
    RSTAR_CLI_SANDBOX, RSTAR_CLI_TRAINER, RSTAR_CLI_POLICY, RSTAR_CLI_PPM
    RSTAR_CLI_NATS__SERVERS     JSON list; also __USER, __PASSWORD
    RSTAR_CLI_OBJECT_STORE__ENDPOINT, __BUCKET, __ACCESS_KEY, __SECRET_KEY
    RSTAR_CLI_PEERS__CA         PEM file: calls are encrypted; also __CERTIFICATE, __KEY, __TOKEN

What the environment does not name is the local stack's. Waiting is short: a person sits there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, get_args

import grpc
import nats
import nats.errors
from nats.aio.client import Client
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from rstar_cli.local.lock import holder, not_up
from rstar_cli.local.state import StackState, load, resolved_home
from rstar_common.config import NatsSettings, ObjectStoreSettings, PeerSettings
from rstar_common.errors import InvalidInput, Unavailable
from rstar_common.nats_roles import inbox
from rstar_common.net import split_address
from rstar_common.rpc import channel

ServiceName = Literal["searcher", "sandbox", "trainer", "policy", "ppm"]

_CONNECT_SECONDS = 3
_PREFIX = "RSTAR_CLI_"


class CliSettings(BaseSettings):
    """Addresses of a system that is not the local stack."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    searcher: str = ""
    sandbox: str = ""
    trainer: str = ""
    policy: str = ""
    ppm: str = ""
    nats: NatsSettings | None = None
    object_store: ObjectStoreSettings | None = None
    peers: PeerSettings = PeerSettings()


class Endpoints:
    """Addresses, each looked up when it is needed."""

    def __init__(self, settings: CliSettings, home: Path) -> None:
        self._settings = settings
        self._home = home

    @property
    def is_remote(self) -> bool:
        """Whether the environment names a system that is not the local stack."""
        return bool(self._settings.searcher)

    @property
    def names_state(self) -> bool:
        """Whether the environment names a queue and a store that are not the local stack's."""
        return bool(self._settings.nats and self._settings.object_store)

    @property
    def searcher(self) -> str:
        """Any searcher."""
        return self._settings.searcher or self._local.address("searcher1")

    @property
    def sandbox(self) -> str:
        """The sandbox, for judging."""
        return self._settings.sandbox or self._local.address("sandbox")

    @property
    def trainer(self) -> str:
        """The trainer."""
        return self._settings.trainer or self._local.address("trainer")

    @property
    def policy(self) -> str:
        """The policy, for its version; empty where another system's is not named."""
        if self._settings.policy or self._settings.searcher:
            return self._settings.policy
        return self._local.address("policy")

    @property
    def ppm(self) -> str:
        """The PPM, for its version; empty when the local stack has none, or as the policy."""
        if self._settings.ppm or self._settings.searcher:
            return self._settings.ppm
        return self._local.address("ppm") if self._local.options.ppm else ""

    @property
    def nats(self) -> NatsSettings:
        """The queue."""
        return self._settings.nats or self._local.nats

    @property
    def object_store(self) -> ObjectStoreSettings:
        """The store."""
        return self._settings.object_store or self._local.object_store

    def dial(self, service: ServiceName) -> grpc.aio.Channel:
        """A channel to one service; `async with` closes it.

        Raises:
            Unavailable: there is no stack, and the environment names no system.
            InvalidInput: a certificate cannot be read.
        """
        return channel(getattr(self, service), self._settings.peers)

    @property
    def _local(self) -> StackState:
        state = load(self._home)
        if not state or not holder(self._home):
            raise Unavailable(not_up(self._home))
        return state


def endpoints(home: Path | None) -> Endpoints:
    """Where everything is.

    Raises:
        InvalidInput: a variable does not parse, or names no setting; the field names it.
    """
    for name in sorted(os.environ):
        setting = name.removeprefix(_PREFIX).partition("__")[0].lower()
        if name.startswith(_PREFIX) and setting not in CliSettings.model_fields:
            raise InvalidInput("unknown setting", field=name)
    try:
        settings = CliSettings()
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        named = "__".join(str(part) for part in fault["loc"]).upper()
        raise InvalidInput(fault["msg"], field=_PREFIX + named) from error
    except ValueError as error:  # JSON that is none
        raise InvalidInput(str(error), field=f"{_PREFIX}*") from error
    for service in get_args(ServiceName):
        if address := getattr(settings, service):
            split_address(address, field=f"{_PREFIX}{service.upper()}")
    return Endpoints(settings, resolved_home(home))


@asynccontextmanager
async def nats_client(settings: NatsSettings) -> AsyncGenerator[Client]:
    """A connection for one command.

    Raises:
        Unavailable: NATS does not answer, or not to us.
    """
    try:
        client = await nats.connect(
            settings.servers,
            name="rstar-cli",
            user=settings.user or None,
            password=settings.password.get_secret_value() or None,
            inbox_prefix=inbox(settings.user),
            allow_reconnect=False,
            connect_timeout=_CONNECT_SECONDS,
            error_cb=_unheard,
        )
    except (nats.errors.Error, OSError) as error:
        raise Unavailable(f"cannot reach NATS at {', '.join(settings.servers)}: {error}") from error
    try:
        yield client
    finally:
        await client.close()


async def _unheard(error: Exception) -> None:
    """The caller sees the failure; nats-py would print it as well."""

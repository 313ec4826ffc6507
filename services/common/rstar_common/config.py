"""Settings: one frozen model per service, read once in `main()`.

Precedence, highest first: constructor arguments, environment, the TOML file named by
`RSTAR_CONFIG`, defaults. Unknown keys fail. Nothing below `main()` reads the environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

EXIT_BAD_SETTINGS = 78
"""`EX_CONFIG` of sysexits.h: restarting cannot help."""


class Section(BaseModel):
    """A group of related settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NatsSettings(Section):
    """How to reach the event bus."""

    servers: list[str] = ["nats://127.0.0.1:4222"]
    """One or more server URLs, without credentials."""

    user: str = ""
    """User name; empty for a server without accounts."""

    password: SecretStr = SecretStr("")
    """Password of `user`."""

    ack_wait_seconds: float = Field(default=30.0, gt=0)
    """A message not acked, or kept alive, for this long is redelivered."""

    max_attempts: int = Field(default=5, ge=1)
    """Failed attempts after which a message is dead-lettered."""

    replicas: int = Field(default=1, ge=1, le=5)
    """Copies of each stream; 3 on a cluster."""


class ObjectStoreSettings(Section):
    """Where large things live: MinIO or any other S3."""

    endpoint: str = "http://127.0.0.1:9000"
    """URL of the S3 API."""

    bucket: str = "rstar"
    """Holds everything; made by `python -m rstar_common.prepare`."""

    region: str = "us-east-1"
    """As requests are signed for; most stores other than Amazon's take any."""

    access_key: SecretStr = SecretStr("")
    """Who asks."""

    secret_key: SecretStr = SecretStr("")
    """Signs requests."""


class GrpcServerSettings(Section):
    """How a service listens."""

    address: str = "127.0.0.1:0"
    """Host and port; port 0 takes a free one, which is logged."""

    drain_seconds: float = Field(default=20.0, ge=0)
    """How long calls in flight may run after SIGTERM before they are cut."""

    max_message_bytes: int = Field(default=64 * 2**20, ge=2**20)
    """Largest message accepted or sent."""

    certificate: str = ""
    """PEM file of the server's certificate chain; with `key`, calls are encrypted."""

    key: str = ""
    """PEM file of the certificate's private key."""

    client_ca: str = ""
    """PEM file of authorities; clients must then show a certificate of one of them (mTLS)."""

    token_keys: str = ""
    """PEM file of the public keys that sign tokens; every call then needs one (`tokens`)."""

    shared_port: bool = False
    """Let another process of ours listen on the same port: the one that will replace us."""

    replaces: bool = False
    """Another process serves this address: listen beside it, and only once ready."""

    plaintext: bool = False
    """Listen beyond loopback without TLS: only where the network itself encrypts."""


class PeerSettings(Section):
    """How this process shows other services who it is."""

    ca: str = ""
    """PEM file of the authorities that sign services' certificates; calls are then encrypted."""

    certificate: str = ""
    """PEM file of our own certificate chain, for servers that ask for one."""

    key: str = ""
    """PEM file of its private key."""

    token: SecretStr = SecretStr("")
    """Sent with every call; needs `ca`, so that it never crosses a network in the clear."""


class TelemetrySettings(Section):
    """Logs, metrics and traces."""

    metrics_address: str = "127.0.0.1:0"
    """Where `/metrics` is served; empty turns it off."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """DEBUG, INFO, WARNING or ERROR; lines are JSON on stderr."""

    traces_endpoint: str = ""
    """URL of an OTLP/HTTP collector; empty: OTEL_EXPORTER_OTLP_ENDPOINT, or no traces."""


class ServiceSettings(BaseSettings):
    """Base of every service's settings. Subclasses set `env_prefix`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
        use_attribute_docstrings=True,
    )

    nats: NatsSettings = NatsSettings()
    object_store: ObjectStoreSettings = ObjectStoreSettings()
    grpc: GrpcServerSettings = GrpcServerSettings()
    peers: PeerSettings = PeerSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Replace the .env source with the TOML file."""
        toml = TomlConfigSettingsSource(settings_cls, os.environ.get("RSTAR_CONFIG"))
        return init_settings, env_settings, file_secret_settings, toml


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def load_settings(settings_class: type[SettingsT]) -> SettingsT:
    """Read the settings of this process, or exit naming each setting at fault.

    Besides the model's own checks, an environment variable that begins with the
    service's prefix and names no setting is refused: a typo must not pass in silence.
    """
    prefix = settings_class.model_config.get("env_prefix", "")
    known = settings_class.model_fields
    unknown = sorted(
        name
        for name in os.environ
        if prefix
        and name.startswith(prefix)
        and name.removeprefix(prefix).split("__")[0].lower() not in known
    )
    problems = [f"{name}: unknown setting" for name in unknown]
    config = os.environ.get("RSTAR_CONFIG")
    if config and not Path(config).is_file():
        problems.append(f"RSTAR_CONFIG: no such file: {config}")
    if not problems:
        try:
            return settings_class()
        except ValidationError as error:
            problems += [
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
                for item in error.errors(include_input=False)
            ]
        except ValueError as error:  # TOML syntax, or JSON in an environment variable
            problems.append(str(error))
    for problem in problems:
        sys.stderr.write(f"{settings_class.__name__}: {problem}\n")
    raise SystemExit(EXIT_BAD_SETTINGS)

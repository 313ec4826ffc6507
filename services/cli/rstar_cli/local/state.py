"""What one machine's stack remembers between runs: ports, credentials, options.

One directory, `--home`, readable by its owner alone:

    state.json        this module
    supervisor.json   what runs now, written by the supervisor
    data/             of nats and s3, checkpoints fetched by the services
    logs/             one file a service

Ports and credentials are made at the first `up` and kept, so clients configured once
keep working.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from rstar_cli.local.nats import nats_settings
from rstar_cli.local.ports import HOST, free_ports
from rstar_cli.local.s3 import PORTS as S3_PORTS
from rstar_cli.local.s3 import s3_settings
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.errors import InvalidInput

SERVICES = ("sandbox", "trainer", "policy", "ppm")
"""Those of which one machine has exactly one; searchers are counted."""

MAX_SEARCHERS = 8
NO_SEEDS = "-"
"""As `seed_models`: start without any model."""

_NATS_USER = "rstar"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What `rstar up` was asked for. An empty path means the service's default."""

    policy: Literal["sglang", "bootstrap"] = "sglang"
    policy_model: str = ""
    ppm: bool = True
    ppm_model: str = ""
    seed_models: str = ""
    searchers: int = 1
    sandbox_slots: int = 0
    config_dir: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What a recipe sets for its services, beside the caller's own environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackState:
    """One stack."""

    stack_id: str
    """Marks every process of this stack in its environment."""

    ports: Mapping[str, int]
    nats_password: str
    s3_access_key: str
    s3_secret_key: str
    options: StackOptions

    @property
    def nats(self) -> NatsSettings:
        """How to reach its NATS."""
        return nats_settings(self.ports["nats"], _NATS_USER, self.nats_password)

    @property
    def nats_user(self) -> str:
        """The one user of its NATS."""
        return _NATS_USER

    @property
    def object_store(self) -> ObjectStoreSettings:
        """How to reach its S3 store."""
        return s3_settings(self.ports["s3"], self.s3_access_key, self.s3_secret_key)

    @property
    def s3_ports(self) -> list[int]:
        """All ports of the S3 server, its API first."""
        return [self.ports["s3"], *(self.ports[f"s3_{n}"] for n in range(1, S3_PORTS))]

    @property
    def services(self) -> list[str]:
        """Names of our services in this stack, in order of start."""
        names = [name for name in SERVICES if name != "ppm" or self.options.ppm]
        return names + [f"searcher{n}" for n in range(1, self.options.searchers + 1)]

    def address(self, service: str) -> str:
        """Where one of `services` answers gRPC."""
        return f"{HOST}:{self.ports[service]}"

    def metrics_address(self, service: str) -> str:
        """Where one of `services` serves its metrics."""
        return f"{HOST}:{self.ports[f'{service}_metrics']}"


def default_home() -> Path:
    """Where the state lies unless told otherwise."""
    return Path.home() / ".local" / "state" / "rstar"


def resolved_home(home: Path | None) -> Path:
    """The home a command was given, or the default, as an absolute path."""
    return (home or default_home()).resolve()


def load(home: Path) -> StackState | None:
    """The stack of `home`, or None if there never was one.

    Raises:
        InvalidInput: the file is damaged, or of another version.
    """
    path = home / "state.json"
    if not path.exists():
        return None
    try:
        raw = json.loads(path.read_text())
        return StackState(**{**raw, "options": StackOptions(**raw["options"])})
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"{path} is not a state file of this version ({error}); move it away", field="home"
        ) from error


def create(home: Path, options: StackOptions) -> StackState:
    """The stack of `home` with new options; ports and credentials are kept if it has them."""
    known = load(home)
    if known:
        state = replace(known, options=options)
    else:
        state = StackState(
            stack_id=secrets.token_hex(8),
            ports=dict(zip(_port_names(), free_ports(len(_port_names())), strict=True)),
            nats_password=secrets.token_urlsafe(24),
            s3_access_key=secrets.token_hex(10),
            s3_secret_key=secrets.token_urlsafe(30),
            options=options,
        )
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(home / "state.json", asdict(state))
    return state


def _port_names() -> list[str]:
    ours = [*SERVICES, *(f"searcher{n}" for n in range(1, MAX_SEARCHERS + 1))]
    return [
        *("nats", "s3", *(f"s3_{n}" for n in range(1, S3_PORTS))),
        *ours,
        *(f"{name}_metrics" for name in ours),
    ]


def write_private(path: Path, value: object) -> None:
    """Replace a JSON file in one step, readable by its owner alone."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps(value, indent=1))
    scratch.replace(path)

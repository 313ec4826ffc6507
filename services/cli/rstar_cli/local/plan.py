"""From a stack's state to the programs that make it up.

Stages start one after another and stop in reverse: the store and the queue before those
who need them, searchers last. Services are told everything by environment variables, on
top of a TOML file of the repository if there is one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rstar_cli.local.credentials import nats_of, store_of
from rstar_cli.local.nats import nats_command
from rstar_cli.local.process import Command, program
from rstar_cli.local.s3 import s3_command
from rstar_cli.local.state import NO_SEEDS, StackState
from rstar_common.config import NatsSettings, ObjectStoreSettings

STACK_MARK = "RSTAR_STACK_ID"
"""Environment variable by which every process of a stack is found again."""

UNIT_MARK = "RSTAR_STACK_UNIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One supervised program."""

    command: Command
    stage: int
    grace_seconds: float
    takes_over: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further settings of a process that replaces another; without any it comes after it."""

    @property
    def name(self) -> str:
        """As shown to people."""
        return self.command.name


def plan(state: StackState, home: Path) -> list[Unit]:
    """Everything that runs, in order of start."""
    data, logs = home / "data", home / "logs"
    nats = nats_command(
        data / "nats",
        port=state.ports["nats"],
        user=state.nats_user,
        password=state.nats_password,
    )
    s3 = s3_command(
        data / "s3",
        ports=state.s3_ports,
        access_key=state.s3_access_key,
        secret_key=state.s3_secret_key,
    )
    units = [
        Unit(command=_marked(nats, state, logs), stage=0, grace_seconds=10),
        Unit(command=_marked(s3, state, logs), stage=0, grace_seconds=10),
    ]
    for name in state.services:
        kind = name.rstrip("0123456789")
        command = Command(
            name=name,
            argv=(program(f"rstar-{kind}"),),
            environment=_service_environment(state, name, kind, data),
            log=logs / f"{name}.log",
        )
        units.append(
            Unit(
                command=_marked(command, state, logs),
                stage=2 if kind == "searcher" else 1,
                grace_seconds=30,
                takes_over=_takes_over(kind),
            )
        )
    return units


def _takes_over(kind: str) -> Mapping[str, str]:
    if kind == "trainer":  # two would work in one directory
        return {}
    return {f"RSTAR_{kind.upper()}_GRPC__REPLACES": "true"}


def _marked(command: Command, state: StackState, logs: Path) -> Command:
    return Command(
        name=command.name,
        argv=command.argv,
        environment={
            **command.environment,
            STACK_MARK: state.stack_id,
            UNIT_MARK: command.name,
        },
        log=logs / f"{command.name}.log",
    )


def _service_environment(state: StackState, name: str, kind: str, data: Path) -> Mapping[str, str]:
    prefix = f"RSTAR_{kind.upper()}_"
    own = {
        "GRPC__ADDRESS": state.address(name),
        "GRPC__SHARED_PORT": "true",
        "TELEMETRY__METRICS_ADDRESS": state.metrics_address(name),
        **_own_settings(state, kind, data),
    }
    environment = {f"{prefix}{key}": value for key, value in own.items() if value}
    environment |= connection_environment(kind, state.nats, state.object_store)
    config = Path(state.options.config_dir) / f"{kind}.toml"
    if state.options.config_dir and config.exists():
        environment["RSTAR_CONFIG"] = str(config)
    return environment


def _own_settings(state: StackState, kind: str, data: Path) -> Mapping[str, str]:
    options = state.options
    match kind:
        case "policy":
            return {
                "ENGINE": options.policy,
                "MODEL": options.policy_model,
                "CACHE_DIR": str(data / "policy"),
            }
        case "ppm":
            return {"MODEL": options.ppm_model, "CACHE_DIR": str(data / "ppm")}
        case "sandbox":
            return {"SANDBOX__SANDBOXES": str(options.sandbox_slots or "")}
        case "trainer":
            seeds = options.seed_models
            if seeds == NO_SEEDS:  # unset, the trainer takes the bundled ones
                (data / "no-models").mkdir(parents=True, exist_ok=True)
                seeds = str(data / "no-models")
            return {
                "SEED_MODELS": seeds,
                "WORK_DIR": str(data / "trainer"),
                "SEARCHER_ADDRESS": state.address("searcher1"),
                "POLICY_ADDRESS": state.address("policy"),
                "PPM_ADDRESS": state.address("ppm") if options.ppm else "",
                "SANDBOX_ADDRESS": state.address("sandbox"),
            }
        case _:
            return {
                "POLICY_ADDRESS": state.address("policy"),
                "PPM_ADDRESS": state.address("ppm") if options.ppm else "",
                "SANDBOX_ADDRESS": state.address("sandbox"),
            }


def connection_environment(
    kind: str, nats: NatsSettings | None, store: ObjectStoreSettings | None
) -> dict[str, str]:
    """How a service (policy, searcher, …) is told where NATS and the store are.

    Given the operator's credentials, it gets its own, and none for what it does not need.
    """
    nats = nats_of(kind, nats) if nats else None
    store = store_of(kind, store) if store else None
    prefix = f"RSTAR_{kind.upper()}_"
    environment: dict[str, str] = {}
    if nats:
        environment |= {
            f"{prefix}NATS__SERVERS": json.dumps(nats.servers),
            f"{prefix}NATS__USER": nats.user,
            f"{prefix}NATS__PASSWORD": nats.password.get_secret_value(),
        }
    if store:
        environment |= {
            f"{prefix}OBJECT_STORE__ENDPOINT": store.endpoint,
            f"{prefix}OBJECT_STORE__BUCKET": store.bucket,
            f"{prefix}OBJECT_STORE__ACCESS_KEY": store.access_key.get_secret_value(),
            f"{prefix}OBJECT_STORE__SECRET_KEY": store.secret_key.get_secret_value(),
        }
    return environment

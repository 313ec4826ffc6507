"""Where a stack's secrets can be seen by those who should not: nowhere, or it says where.

Looked at are the arguments of every process of the machine, the environment of sandboxes and
of services (each may know its own secrets, no other's), logs, metrics pages, and files that
others may read.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from rstar_cli.local.credentials import nats_password, store_keys
from rstar_cli.local.procfs import marked
from rstar_cli.local.state import StackState
from rstar_common.nats_roles import USERS
from rstar_common.store_roles import IDENTITIES

_METRICS_SECONDS = 10.0
_MOST_BYTES = 64 * 2**20
"""Of one file; no log of a stack is longer."""


def secrets_of(state: StackState) -> dict[str, str]:
    """Every secret of a stack by whose it is; the operator's begin with `operator`."""
    found = {"operator/nats": state.nats_password, "operator/s3": state.s3_secret_key}
    for user in USERS:
        found[f"{user}/nats"] = nats_password(state.nats_password, user)
    for identity in IDENTITIES:
        found[f"{identity}/s3"] = store_keys(state.s3_secret_key, identity)[1]
    return found


def exposures(home: Path, state: StackState, more: Mapping[str, str] | None = None) -> list[str]:
    """Every place where a secret of the stack, or one of `more`, can be seen."""
    secrets = secrets_of(state) | dict(more or {})
    return [
        *_in_arguments(secrets),
        *_in_environments(state, secrets),
        *_in_logs(home, secrets),
        *_on_metrics_pages(state, secrets),
        *_in_files_of_all(home, secrets),
    ]


def _held(content: bytes, secrets: Mapping[str, str]) -> list[str]:
    return [name for name, secret in secrets.items() if secret.encode() in content]


def _in_arguments(secrets: Mapping[str, str]) -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for name in _held(_read(entry / "cmdline"), secrets):
                yield f"{name} in the arguments of process {entry.name}"


def _in_environments(state: StackState, secrets: Mapping[str, str]) -> Iterator[str]:
    for pid, unit in marked(state.stack_id).items():
        owner = unit.rstrip("0123456789")
        others = {n: s for n, s in secrets.items() if n.partition("/")[0] != owner}
        for name in _held(_read(Path(f"/proc/{pid}/environ")), others):
            yield f"{name} in the environment of {unit} ({pid})"


def _in_logs(home: Path, secrets: Mapping[str, str]) -> Iterator[str]:
    for log in home.rglob("*.log*"):
        for name in _held(_read(log), secrets):
            yield f"{name} in {log}"


def _on_metrics_pages(state: StackState, secrets: Mapping[str, str]) -> Iterator[str]:
    for service in state.services:
        address = f"http://{state.metrics_address(service)}/metrics"
        with urllib.request.urlopen(address, timeout=_METRICS_SECONDS) as page:
            for name in _held(page.read(), secrets):
                yield f"{name} on the metrics page of {service}"


def _in_files_of_all(home: Path, secrets: Mapping[str, str]) -> Iterator[str]:
    for file in home.rglob("*"):
        if not file.is_file() or file.is_symlink() or not file.stat().st_mode & 0o077:
            continue
        for name in _held(_read(file), secrets):
            yield f"{name} in {file}, which others may read"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:  # it ended, or is a stranger's
        return b""

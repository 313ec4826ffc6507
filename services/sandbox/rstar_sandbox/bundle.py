"""The OCI bundle of one sandbox: what gVisor is told to run, and with how little."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rstar_sandbox.rootfs import GUEST, PACKAGES, PYTHON, Rootfs

CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE")
"""Of the zygote, inside the sandbox only: to set up, inspect and end its interpreters."""

OPEN_FILES = 8192

MALLOC = {
    # One arena that grows in large pieces and never shrinks: forks then copy few, large mappings.
    "PYTHONMALLOC": "malloc",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**24),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestOptions:
    """What the zygote is told at its start."""

    parallel: int
    parked: int
    parked_bytes: int
    prefork: int
    tmp_bytes: int


def write_bundle(
    directory: Path,
    rootfs: Rootfs,
    options: GuestOptions,
    *,
    memory_bytes: int,
    cgroup: str,
) -> None:
    """Write `config.json` into a new `directory`; an empty `cgroup` asks for none."""
    directory.mkdir(parents=True)
    config = _config(rootfs, options)
    if cgroup:
        config["linux"]["cgroupsPath"] = cgroup
        config["linux"]["resources"] = {"memory": {"limit": memory_bytes}}
    (directory / "config.json").write_text(json.dumps(config))


def _config(rootfs: Rootfs, options: GuestOptions) -> dict[str, Any]:
    environment = MALLOC | {
        "PATH": "/usr/local/bin",
        "HOME": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": rootfs.library_path,
        "PYTHONPATH": f"{GUEST}:{PACKAGES}",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    settings = {name: getattr(options, name) for name in options.__slots__}
    files = {"type": "RLIMIT_NOFILE", "hard": OPEN_FILES, "soft": OPEN_FILES}
    return {
        "ociVersion": "1.0.0",
        "hostname": "sandbox",
        "root": {"path": str(rootfs.root), "readonly": True},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": [PYTHON, "-m", "rstar_sandbox.guest.zygote", json.dumps(settings)],
            "cwd": "/",
            "env": [f"{name}={value}" for name, value in environment.items()],
            "capabilities": {
                kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")
            },
            "noNewPrivileges": True,
            "rlimits": [files],
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},  # noqa: S108
            {
                "destination": GUEST,
                "type": "bind",
                "source": str(rootfs.guest),
                "options": ["ro", "nosuid", "nodev"],
            },
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
        },
    }

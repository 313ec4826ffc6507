"""Settings of the sandbox service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rstar_common.config import Section, ServiceSettings
from rstar_sandbox.rootfs import DEFAULT_CACHE, DEFAULT_REQUIREMENTS


class SandboxSection(Section):
    """How the sandboxes are made and how many."""

    runsc: str = "runsc"
    """gVisor's program: a name on PATH, or a path."""

    platform: Literal["", "systrap", "ptrace", "kvm"] = ""
    """How gVisor intercepts system calls; empty measures systrap and ptrace once and remembers."""

    rootfs_dir: Path = DEFAULT_CACHE
    """Cache of the root file system, also the home of each run's state."""

    requirements: Path = DEFAULT_REQUIREMENTS
    """Packages of the guest, pinned with hashes."""

    sandboxes: int = Field(default=0, ge=0, le=256)
    """How many; 0 means one a core."""

    parallel: int = Field(default=2, ge=1, le=64)
    """Runs at one time in a sandbox."""

    max_requests: int = Field(default=16, ge=1)
    """Requests at one time in a sandbox; the one past that is refused."""

    standby: bool = True
    """Keep one sandbox more, restored and idle (88 MiB), that takes over at once from one that dies
    or is worn out."""

    parked: int = Field(default=32, ge=1, le=500)
    """Interpreters a sandbox keeps for the steps that may follow."""

    prefork: int = Field(default=2, ge=0, le=32)
    """Fresh interpreters kept ready in a sandbox."""

    memory_bytes: int = Field(default=3 * 2**30, ge=2**29)
    """Of one sandbox, all its processes together."""

    parked_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of `memory_bytes` above which parked interpreters are let go."""

    recycle_runs: int = Field(default=20_000, ge=1)
    """A sandbox is replaced by a fresh one after so many runs."""

    tune_host: bool = True
    """Set the kernel's shared-memory huge pages to `advise` while running, which makes forks
    several times cheaper. Host-wide, best effort, put back at the end."""


class LimitSection(Section):
    """Limits of one run."""

    wall_seconds: float = Field(default=5.0, gt=0)
    """From its start to its end."""

    cpu_seconds: float = Field(default=5.0, gt=0)
    """Of processor time."""

    memory_bytes: int = Field(default=512 * 2**20, ge=2**24)
    """Of address space, beside what the interpreter had before."""

    processes: int = Field(default=16, ge=1)
    """Processes and threads at once, itself included."""

    file_bytes: int = Field(default=8 * 2**20, ge=0)
    """Of one file that it writes."""

    open_files: int = Field(default=64, ge=16)
    """File descriptors at once."""

    output_bytes: int = Field(default=2**16, ge=1)
    """Printed; a run that prints more is ended."""


class SandboxSettings(ServiceSettings):
    """Settings of the sandbox service."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_SANDBOX_")

    sandbox: SandboxSection = SandboxSection()

    limits: LimitSection = LimitSection()
    """What a run gets unless its request says otherwise."""

    ceilings: LimitSection = LimitSection(
        wall_seconds=60,
        cpu_seconds=60,
        memory_bytes=2 * 2**30,
        processes=64,
        file_bytes=64 * 2**20,
        open_files=256,
        output_bytes=4 * 2**20,
    )
    """The most a request may ask for."""

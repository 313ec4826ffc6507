"""What a measurement ran on, for its JSON line."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path


def machine() -> dict[str, object]:
    """Processor, cores, memory, GPU, system."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(_memory_kib() / 2**20, 1),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _memory_kib() -> int:
    return int(_field(Path("/proc/meminfo"), "MemTotal").split()[0])


def _gpu() -> str:
    program = shutil.which("nvidia-smi")
    if not program:
        return ""
    asked = subprocess.run(
        [program, "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    return ", ".join(asked.stdout.split("\n")).strip(", ")

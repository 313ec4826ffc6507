"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def machine() -> dict[str, object]:
    """Cores, memory, interpreter, and how busy the machine was with other things."""
    pages = os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages * PAGE_BYTES / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def starved_seconds(pid: int) -> float:
    """How long a process's main thread has been ready to run and did not, for want of a core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9

"""What a tree of processes uses: processor time and memory, as the host's kernel counts them."""

from __future__ import annotations

import os
from pathlib import Path

KIB = 1024


def _stat(entry: Path) -> list[str]:
    """The fields after the name, from the state on; [] when the process is gone."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def descendants(pid: int) -> set[int]:
    """A process and all that it started, as far as they are not orphans."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if fields := _stat(entry):
            parents[int(entry.name)] = int(fields[1])
    found, size = {pid}, 0
    while size < len(found):
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found


def cpu_seconds(pid: int) -> float:
    """Used so far by a process and its descendants, those included that were waited for."""
    ticks = 0
    for member in descendants(pid):
        if fields := _stat(Path(f"/proc/{member}")):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_bytes(pids: set[int], *, private: bool = False) -> int:
    """Proportional share of the memory of these processes.

    With `private`, of what no file stands behind: of gVisor's processes their own memory, without
    that of the programs inside, all of which is in one file.
    """
    total, wanted = 0, "Pss_Anon:" if private else "Pss:"
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(wanted))
    return total * KIB

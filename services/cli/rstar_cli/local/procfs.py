"""Processes of a stack as the kernel sees them: found by a mark, measured, ended.

The mark is an environment variable that children inherit, so it finds what a killed
supervisor left behind, engines started by services included, and never a stranger that
happens to have an old process id.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rstar_cli.local.plan import STACK_MARK, UNIT_MARK

_PROC = Path("/proc")
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.05


def marked(stack_id: str) -> dict[int, str]:
    """Processes of a stack: id and the name of the unit they belong to. Not ourselves."""
    found: dict[int, str] = {}
    for pid, environment in _environments():
        if environment.get(STACK_MARK) == stack_id and pid != os.getpid():
            found[pid] = environment.get(UNIT_MARK, "")
    return found


async def end_marked(stack_id: str) -> int:
    """End every process of a stack, kindly and then not; returns how many there were."""
    pids = list(marked(stack_id))
    _signal(pids, signal.SIGTERM)
    await _gone(stack_id)
    _signal(list(marked(stack_id)), signal.SIGKILL)
    await _gone(stack_id)
    return len(pids)


async def _gone(stack_id: str) -> None:
    """Wait a while for a stack's processes to end."""
    deadline = time.monotonic() + _GRACE_SECONDS
    while True:
        if time.monotonic() > deadline or not marked(stack_id):
            return
        # They are not our children, so nobody tells us when they end.
        await asyncio.sleep(_POLL_SECONDS)


def memory_bytes(roots: Mapping[str, int]) -> dict[str, int]:
    """Proportional memory of each process tree, by name: shared pages are counted once."""
    parents = dict(_parents())
    totals = dict.fromkeys(roots, 0)
    owner = {pid: name for name, pid in roots.items()}
    for pid in parents:
        ancestor: int | None = pid
        while ancestor and ancestor not in owner:
            ancestor = parents.get(ancestor)
        if ancestor:
            totals[owner[ancestor]] += _pss(pid)
    return totals


def _parents() -> Iterator[tuple[int, int]]:
    for pid in _pids():
        try:
            stat = (_PROC / str(pid) / "stat").read_text()
        except OSError:
            continue
        yield pid, int(stat.rpartition(")")[2].split()[1])


def _pss(pid: int) -> int:
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0  # it ended, or is not ours
    return 0


def _environments() -> Iterator[tuple[int, dict[str, str]]]:
    for pid in _pids():
        try:
            raw = (_PROC / str(pid) / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        yield pid, dict(item.split("=", 1) for item in raw.split("\0") if "=" in item)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _signal(pids: list[int], signum: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except (ProcessLookupError, PermissionError):
            continue

"""Processes that nobody owns any more: marked as ours, and below no unit that lives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from rstar_cli.chaos.system import System
from rstar_cli.local.procfs import marked

LEAVING_SECONDS = 10.0
"""How long what a killed program started may take to notice."""

_POLL_SECONDS = 0.2
_PROC = Path("/proc")


async def orphans(system: System, *, seconds: float = LEAVING_SECONDS) -> list[str]:
    """A line each, of those that have not left within `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = await asyncio.to_thread(_orphans, system)
        if not found or asyncio.get_running_loop().time() > deadline:
            return found
        # They are not our children: nobody tells us when they end.
        await asyncio.sleep(_POLL_SECONDS)


def _orphans(system: System) -> list[str]:
    parents = dict(_parents())
    owners = {unit.pid for unit in system.units.values()}
    if system.disks:
        owners.add(system.disks.holder)
    ours = set(marked(system.mark)) | set(_naming(str(system.directory)))
    return [f"{pid} {_command(pid)}" for pid in sorted(ours) if not _below(pid, owners, parents)]


def _below(pid: int, owners: set[int], parents: dict[int, int]) -> bool:
    ancestor: int | None = pid
    while ancestor and ancestor not in owners:
        ancestor = parents.get(ancestor)
    return bool(ancestor)


def _naming(directory: str) -> Iterator[int]:
    """Programs told of our directory: a sandbox has an environment of its own."""
    for pid, _ in _parents():
        if f"{directory}/" in _command(pid):
            yield pid


def _parents() -> Iterator[tuple[int, int]]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if stat[0] != "Z":
                yield int(entry.name), int(stat[1])


def _command(pid: int) -> str:
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()[:200]

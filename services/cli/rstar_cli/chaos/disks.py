"""Small disks for NATS and the store, that can be filled: tmpfs in a mount namespace of our own.

Nobody outside the namespace sees the mounts, and they end with the process that holds it. Where
the kernel does not allow this, there are no such disks and full ones are not tried.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rstar_cli.local.process import Command
from rstar_common.errors import Unavailable

DISK_BYTES = 192 * 2**20
BYTES_A_MINUTE = 12 * 2**20
"""Of each disk; trees of eight waves a minute take 8 MB of the store's, and nothing is removed."""

_BALLOON = "balloon"
_PIECE = bytes(2**20)
_HOLD = 'for d; do mount -t tmpfs -o size=$SIZE tmpfs "$d" || exit 1; done; echo held; read _'


@dataclass(frozen=True, slots=True)
class Disks:
    """Mounted for as long as `holder` lives."""

    holder: int

    def inside(self, command: Command) -> Command:
        """`command` where the disks are mounted."""
        return replace(command, argv=(*_enter(self.holder), *command.argv))

    def fill(self, directory: Path) -> None:
        """Leave no room on the disk at `directory`."""
        with (self._seen(directory) / _BALLOON).open("wb", buffering=0) as balloon:
            try:
                while balloon.write(_PIECE):
                    pass
            except OSError:  # full, as wanted
                return

    def empty(self, directory: Path) -> None:
        """Give the room back."""
        (self._seen(directory) / _BALLOON).unlink(missing_ok=True)

    def _seen(self, directory: Path) -> Path:
        return Path(f"/proc/{self.holder}/root") / directory.relative_to("/")


@asynccontextmanager
async def small_disks(directories: Sequence[Path], *, minutes: float) -> AsyncGenerator[Disks]:
    """A small disk at each of `directories`, for who is started `inside` and works so long.

    Raises:
        Unavailable: the kernel does not allow it here.
    """
    unshare = shutil.which("unshare")
    if not unshare or not shutil.which("nsenter"):
        raise Unavailable("no unshare and nsenter")
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
    own_users = () if os.geteuid() == 0 else ("--map-root-user",)
    holder = await asyncio.create_subprocess_exec(
        *(unshare, "--mount", *own_users, "sh", "-c", _HOLD, "sh"),
        *map(str, directories),
        env={**os.environ, "SIZE": str(DISK_BYTES + int(minutes * BYTES_A_MINUTE))},
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    try:
        assert holder.stdout is not None
        if await holder.stdout.readline() != b"held\n":
            raise Unavailable("tmpfs may not be mounted here")
        yield Disks(holder.pid)
    finally:
        assert holder.stdin is not None
        holder.stdin.close()  # it ends at the end of its input, and so if we are killed
        await holder.wait()


def _enter(holder: int) -> tuple[str, ...]:
    nsenter = shutil.which("nsenter") or "nsenter"
    own_users = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
    return (nsenter, f"--target={holder}", "--mount", *own_users, f"--wd={Path.cwd()}", "--")

"""One process at a time has a home to itself. Asking who it is never takes the lock.

It is a supervisor that runs the stack, or a command that copies what a stopped stack keeps.
Which of them tells the length of what it locks: the kernel gives it back with the process, at
the same instant, where a word in the file could be that of a predecessor.
"""

from __future__ import annotations

import fcntl
import os
import struct
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, TextIO

_FLOCK = "hhqqi"
"""Linux' `struct flock` on 64 bits: type, whence, start, length, pid."""


class Purpose(IntEnum):
    """What a home is held for; the value is the number of bytes locked, 0 for all there can be.

    Each begins with the first byte, so any of them keeps out every other.
    """

    SUPERVISOR = 0
    BACKUP = 1
    RESTORE = 2


class Holder(NamedTuple):
    """Who holds a home, and what for."""

    pid: int
    purpose: Purpose


def take(home: Path, purpose: Purpose = Purpose.SUPERVISOR) -> TextIO | None:
    """The lock of a home, or None if somebody holds it. Closing the file gives it back."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = _path(home).open("a")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, purpose)
    except OSError:
        file.close()
        return None
    return file


def holder(home: Path) -> int | None:
    """Process that runs the stack of a home, or None. Not meant for the holder itself."""
    held = _held(home)
    return held.pid if held and held.purpose is Purpose.SUPERVISOR else None


def copying(home: Path) -> str:
    """Why a home whose stack is down cannot be had now, in words; empty if it can."""
    held = _held(home)
    if held is None or held.purpose is Purpose.SUPERVISOR:
        return ""
    return f"a {held.purpose.name.lower()} of {home} runs (process {held.pid}); wait for its end"


def not_up(home: Path) -> str:
    """What to tell somebody who needs the stack of a home, which does not run."""
    return f"the stack is not up; {copying(home) or 'start it with: rstar up'}"


def _held(home: Path) -> Holder | None:
    try:
        fd = os.open(_path(home), os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, length, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    finally:
        os.close(fd)
    return None if kind == fcntl.F_UNLCK else Holder(pid, Purpose(length))


def _path(home: Path) -> Path:
    return home / "supervisor.lock"

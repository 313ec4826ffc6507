"""One supervisor a home. Asking who holds the lock never takes it."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import TextIO

_FLOCK = "hhqqi"
"""Linux' `struct flock` on 64 bits: type, whence, start, length, pid."""


def take(home: Path) -> TextIO | None:
    """The lock of a home, or None if somebody holds it. Closing the file gives it back."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = _path(home).open("a")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def holder(home: Path) -> int | None:
    """Process that holds the lock of a home, or None. Not meant for the holder itself."""
    try:
        fd = os.open(_path(home), os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    finally:
        os.close(fd)
    return None if kind == fcntl.F_UNLCK else int(pid)


def _path(home: Path) -> Path:
    return home / "supervisor.lock"

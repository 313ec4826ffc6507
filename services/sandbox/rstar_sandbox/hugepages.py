"""Shared-memory huge pages on advice: with them gVisor's forks cost a fraction.

The one setting of the host that the service touches. Best effort, and put back by the last
service that wanted it.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

logger = logging.getLogger(__name__)

SETTING = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
LOCK = Path("/run/rstar-sandbox-hugepages.lock")
"""Shared by all who want it; holds the value to put back."""

WANTED = "advise"
_GOOD = ("advise", "always", "within_size", "force")


@contextmanager
def advised_huge_pages(enabled: bool) -> Iterator[str]:
    """Turn them on for a while; yields what holds meanwhile, for the log."""
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(LOCK.open("a+"))
            LOCK.chmod(0o600)
        except OSError as error:
            logger.info("shared-memory huge pages stay as they are: %s", error)
            enabled = False
        if not enabled:
            yield _current()
            return
        fcntl.flock(lock, fcntl.LOCK_SH)
        before = _current()
        if before not in _GOOD and _write(WANTED):
            lock.seek(0)
            lock.truncate()
            lock.write(before)
            lock.flush()
            logger.info("shared-memory huge pages on", extra={"before": before, "now": WANTED})
        try:
            yield _current()
        finally:
            _put_back(lock)


def _put_back(lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # another service still wants it; the last one puts it back
    lock.seek(0)
    before = lock.read().strip()
    if before and _current() == WANTED and _write(before):
        lock.seek(0)
        lock.truncate()
        logger.info("shared-memory huge pages put back", extra={"now": before})


def _current() -> str:
    try:
        words = SETTING.read_text().split()
    except OSError:
        return "unknown"
    return next((word.strip("[]") for word in words if word.startswith("[")), "unknown")


def _write(value: str) -> bool:
    try:
        SETTING.write_text(value)
    except OSError as error:
        logger.info("shared-memory huge pages stay as they are: %s", error)
        return False
    return True

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
from typing import Protocol, TextIO

logger = logging.getLogger(__name__)

LOCK = Path("/run/rstar-sandbox-hugepages.lock")
"""Shared by all who want it; holds the value to put back."""

WANTED = "advise"
_GOOD = ("advise", "always", "within_size", "force")


class Setting(Protocol):
    """A choice of the host's."""

    def read(self) -> str:
        """What holds; "unknown" where there is no such choice."""

    def write(self, value: str) -> bool:
        """Whether it could be set."""


class KernelSetting:
    """The kernel's own, for shared memory."""

    _FILE = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")

    def read(self) -> str:
        try:
            words = self._FILE.read_text().split()
        except OSError:
            return "unknown"
        return next((word.strip("[]") for word in words if word.startswith("[")), "unknown")

    def write(self, value: str) -> bool:
        try:
            self._FILE.write_text(value)
        except OSError as error:
            logger.info("shared-memory huge pages stay as they are: %s", error)
            return False
        return True


@contextmanager
def advised_huge_pages(
    enabled: bool, setting: Setting | None = None, lock_file: Path = LOCK
) -> Iterator[str]:
    """Turn them on for a while; yields what holds meanwhile, for the log."""
    setting = setting or KernelSetting()
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(lock_file.open("a+"))
            lock_file.chmod(0o600)
        except OSError as error:
            logger.info("shared-memory huge pages stay as they are: %s", error)
            enabled = False
        if not enabled:
            yield setting.read()
            return
        fcntl.flock(lock, fcntl.LOCK_SH)
        before = setting.read()
        if before not in _GOOD and setting.write(WANTED):
            lock.seek(0)
            lock.truncate()
            lock.write(before)
            lock.flush()
            logger.info("shared-memory huge pages on", extra={"before": before, "now": WANTED})
        try:
            yield setting.read()
        finally:
            _put_back(lock, setting)


def _put_back(lock: TextIO, setting: Setting) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # another service still wants it; the last one puts it back
    lock.seek(0)
    before = lock.read().strip()
    if before and setting.read() == WANTED and setting.write(before):
        lock.seek(0)
        lock.truncate()
        logger.info("shared-memory huge pages put back", extra={"now": before})

"""Shared-memory huge pages on advice: with them gVisor's forks cost a fraction.

The one setting of the host that the service touches. Best effort, and put back at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

SETTING = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
WANTED = "advise"
_GOOD = ("advise", "always", "within_size", "force")


@contextmanager
def advised_huge_pages(enabled: bool) -> Iterator[str]:
    """Turn them on for a while; yields what holds meanwhile, for the log."""
    before = _current()
    if not enabled or before in _GOOD or not _write(WANTED):
        yield before
        return
    logger.info("shared-memory huge pages turned on", extra={"before": before, "now": WANTED})
    try:
        yield WANTED
    finally:
        if _current() == WANTED and _write(before):
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

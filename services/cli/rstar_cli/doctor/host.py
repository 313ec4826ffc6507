"""What the machine must give: private files, the right time, room on the disk."""

from __future__ import annotations

import asyncio
import email.utils
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from rstar_cli.doctor.finding import Finding, existing, fault, faults_or
from rstar_common.config import ObjectStoreSettings

SKEW_SECONDS = 60.0
"""An S3 server refuses requests signed more than 15 minutes off; leases need far less."""

EARLIEST = 1_735_689_600.0
"""2025-01-01: before this version was written."""

LEAST_INODES = 10_000
TEMPORARY_BYTES = 2**30
"""Sandboxes unpack their bundles into the temporary directory."""

_SECONDS = 5.0


def permissions(home: Path) -> list[Finding]:
    """The state directory is ours, writable, and nobody else's to read."""
    check, found = "permissions", []
    place = existing(home)
    if not os.access(place, os.W_OK | os.X_OK):
        found.append(
            fault(check, f"{place} cannot be written", "choose a directory of your own as --home")
        )
    secret = [home, home / "state.json", home / "data" / "nats" / "nats.conf"]
    for path in (path for path in secret if path.exists()):
        status = path.stat()
        if status.st_mode & 0o077:
            mode = "700" if path.is_dir() else "600"
            found.append(
                fault(
                    check,
                    f"{path} holds credentials and others may open it ({status.st_mode & 0o777:o})",
                    f"chmod {mode} {path}; then move state.json away for new credentials",
                )
            )
        if status.st_uid != os.geteuid():
            found.append(
                fault(
                    check,
                    f"{path} belongs to user {status.st_uid}, we are {os.geteuid()}",
                    "run as its owner, or choose another --home",
                )
            )
    return faults_or(found, check, f"{home} is private and writable")


async def clock(home: Path, store: ObjectStoreSettings | None) -> list[Finding]:
    """Our clock agrees with the store's, and does not run behind our own files."""
    check, found, now = "clock", [], time.time()
    remedy = "set the clock, and keep it with NTP (timedatectl set-ntp true)"
    if now < EARLIEST:
        found.append(fault(check, f"it is {time.ctime(now)}, which has long passed", remedy))
    ahead = {
        path: path.stat().st_mtime - now
        for path in (home / "state.json", home / "supervisor.json")
        if path.exists()
    }
    found += [
        fault(check, f"{path} was written {seconds:.0f} s in the future", remedy)
        for path, seconds in ahead.items()
        if seconds > SKEW_SECONDS
    ]
    theirs = await asyncio.to_thread(_date, store.endpoint) if store else None
    if store and theirs is not None and abs(theirs - time.time()) > SKEW_SECONDS:
        found.append(
            fault(
                check,
                f"the store at {store.endpoint} is {theirs - time.time():+.0f} s off",
                f"{remedy}, on this machine and on the store's",
            )
        )
    compared = "agrees with the store" if theirs is not None else "is behind none of our files"
    return faults_or(found, check, f"{time.ctime(now)} {compared}")


def disk(home: Path, *, free_bytes: int) -> list[Finding]:
    """There is room for the state and for temporary files."""
    check, found = "disk", []
    for place, wanted in (
        (existing(home), free_bytes),
        (Path(tempfile.gettempdir()), TEMPORARY_BYTES),
    ):
        free = shutil.disk_usage(place).free
        if free < wanted:
            found.append(
                fault(
                    check,
                    f"{place} has {free / 2**30:.1f} GiB free, wanted are {wanted / 2**30:.1f}",
                    "make room, or choose another --home (or TMPDIR)",
                )
            )
        inodes = os.statvfs(place)
        if inodes.f_files and inodes.f_favail < LEAST_INODES:
            found.append(
                fault(check, f"{place} has {inodes.f_favail} inodes free", "remove small files")
            )
    return faults_or(found, check, f"{shutil.disk_usage(existing(home)).free / 2**30:.1f} GiB free")


def _date(endpoint: str) -> float | None:
    """The time a server says it is; any reply will do, also a refusal."""
    if not endpoint.startswith(("http://", "https://")):
        return None
    try:
        with urllib.request.urlopen(endpoint, timeout=_SECONDS) as reply:  # noqa: S310  # checked
            said = reply.headers.get("Date")
    except urllib.error.HTTPError as refused:
        said = refused.headers.get("Date")
        refused.close()
    except OSError:
        return None
    try:
        return email.utils.parsedate_to_datetime(said).timestamp() if said else None
    except ValueError:
        return None

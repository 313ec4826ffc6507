"""A whole backup, and a whole restore: in which order, what is skipped, what is checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client
from obstore.store import S3Store

from rstar_cli.backup import objects, streams
from rstar_cli.backup.manifest import Manifest, ObjectEntry, faults, object_path, read, stream_path
from rstar_common.artifacts import PROBE
from rstar_common.errors import Conflict, InvalidInput, NotFound

Tell = Callable[[str, int, int], None]
"""Told what is copied, how many of these are done, and how many there are."""

_WRITE_EVERY = 500
"""Objects between two manifests: what an interrupted backup may copy again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was done."""

    streams: int
    messages: int
    objects: int
    bytes: int
    """Of the whole backup."""

    moved_objects: int
    """That were not there already."""

    seconds: float


async def back_up(client: Client, store: S3Store, directory: Path, tell: Tell) -> Copied:
    """Copy everything; a folder that holds an unfinished backup is gone on with.

    The system may go on working: what is saved later was written later, and `streams.ORDER`
    says why that loses nothing.
    """
    started = time.monotonic()
    manifest = _begun(directory)
    for done, name in enumerate(streams.ORDER):
        tell("streams", done, len(streams.ORDER))
        path = stream_path(directory, name)
        if name not in manifest.streams or not path.exists():
            if entry := await streams.save(client, name, path):
                manifest.streams[name] = entry
            manifest.write(directory)
    known = manifest.objects
    found = [item async for item in objects.listed(store) if not item[0].startswith(PROBE)]
    manifest.objects = {key: known[key] for key, _, _ in found if key in known}
    moved = 0
    for done, (key, size, tag) in enumerate(found):
        tell("objects", done, len(found))
        before = known.get(key)
        if before and _unchanged(before, size, tag, directory):
            continue
        try:
            manifest.objects[key] = await objects.save(store, key, tag, directory)
        except NotFound:  # removed meanwhile: nothing that was saved names it
            manifest.objects.pop(key, None)
            continue
        moved += 1
        if moved % _WRITE_EVERY == 0:
            manifest.write(directory)
    manifest.complete, manifest.finished = True, _now()
    manifest.write(directory)
    return _copied(manifest, moved, started)


async def restore(client: Client, store: S3Store, directory: Path, tell: Tell) -> Copied:
    """Bring everything back into a system that keeps nothing yet.

    A restore that was interrupted is begun again: objects that are there are put again, and a
    stream that holds just what was saved is left alone.

    Raises:
        InvalidInput: the backup is unfinished or damaged; nothing was written.
        Conflict: the system keeps something else; nothing was written.
    """
    started = time.monotonic()
    manifest = read(directory)
    if wrong := faults(directory, manifest):
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InvalidInput(f"{wrong[0]}{more}", field="directory")
    wanted = []
    for entry in manifest.streams.values():
        there = await streams.state_of(client, entry.name)
        if there is None or not there["state"]["last_seq"]:
            wanted.append(entry)
        elif there["state"]["last_seq"] != entry.last_sequence:
            raise Conflict(f"{entry.name} is not empty: restore into a new system")
    foreign = {key async for key, _, _ in objects.listed(store) if not key.startswith(PROBE)}
    if stranger := next(iter(foreign - set(manifest.objects)), None):
        raise Conflict(f"the store is not empty: it holds {stranger}")
    # Objects first: what names them comes after.
    for done, one in enumerate(manifest.objects.values()):
        tell("objects", done, len(manifest.objects))
        await objects.restore(store, one, directory)
    for done, entry in enumerate(reversed(wanted)):
        tell("streams", done, len(wanted))
        await streams.restore(client, entry, stream_path(directory, entry.name))
    return _copied(manifest, len(manifest.objects), started)


def _unchanged(before: ObjectEntry, size: int, tag: str, directory: Path) -> bool:
    same = bool(tag) and (before.bytes, before.tag) == (size, tag)
    return same and object_path(directory, before.sha256).exists()


def _begun(directory: Path) -> Manifest:
    for part in ("streams", "objects"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    try:
        before = read(directory)
    except NotFound:
        return Manifest(began=_now())
    if not before.complete:
        return before
    # A backup of the same place at a later time: streams anew, objects as far as they changed.
    anew = Manifest(began=_now(), objects=before.objects)
    anew.write(directory)
    return anew


def _copied(manifest: Manifest, moved: int, started: float) -> Copied:
    kept = {entry.sha256: entry.bytes for entry in manifest.objects.values()}
    return Copied(
        streams=len(manifest.streams),
        messages=sum(entry.messages for entry in manifest.streams.values()),
        objects=len(manifest.objects),
        bytes=sum(kept.values()) + sum(entry.bytes for entry in manifest.streams.values()),
        moved_objects=moved,
        seconds=round(time.monotonic() - started, 2),
    )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

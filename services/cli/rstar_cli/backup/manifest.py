"""What a backup holds, with the hash of every file of it: `manifest.json`.

    manifest.json              written anew after every stream; complete only at the end
    streams/NAME.snapshot      a stream or bucket as nats-server writes it, sequences included
    objects/ab/abcdef…         an object of the store by the hash of its contents

Objects lie under their hash because keys are partly written by publishers: a key is data here
and never a path. Equal objects are kept once, and a second backup copies only what is new.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rstar_common.errors import InvalidInput, NotFound

FORMAT = 1
"""Of this folder; a restore reads its own and older ones."""

NAME = "manifest.json"
_BLOCK = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEntry:
    """One stream, or the stream behind one bucket."""

    name: str
    sha256: str
    bytes: int
    messages: int
    last_sequence: int
    config: dict[str, Any]
    """As the server describes it."""

    state: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEntry:
    """One object of the store."""

    key: str
    sha256: str
    bytes: int
    tag: str
    """The store's own mark of these contents, by which a changed object is known."""


@dataclass(slots=True, kw_only=True)
class Manifest:
    """The table of contents."""

    began: str
    complete: bool = False
    finished: str = ""
    streams: dict[str, StreamEntry] = field(default_factory=dict[str, StreamEntry])
    objects: dict[str, ObjectEntry] = field(default_factory=dict[str, ObjectEntry])

    def write(self, directory: Path) -> None:
        """Replace the file in one step."""
        value = {
            "format": FORMAT,
            "began": self.began,
            "finished": self.finished,
            "complete": self.complete,
            "streams": [asdict(entry) for entry in self.streams.values()],
            "objects": [asdict(entry) for entry in self.objects.values()],
        }
        scratch = directory / f".{NAME}.{os.getpid()}"
        scratch.write_text(json.dumps(value, indent=1))
        scratch.replace(directory / NAME)


def read(directory: Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        NotFound: there is none.
        InvalidInput: it is damaged, or of a later version of this program.
    """
    path = directory / NAME
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotFound(f"{directory} holds no backup") from error
    except ValueError as error:
        raise InvalidInput(f"{path} is damaged: {error}", field="directory") from error
    if raw.get("format", 0) > FORMAT:
        raise InvalidInput(f"{path} was written by a later version", field="directory")
    try:
        streams = [StreamEntry(**entry) for entry in raw["streams"]]
        objects = [ObjectEntry(**entry) for entry in raw["objects"]]
        return Manifest(
            began=raw["began"],
            complete=raw["complete"],
            finished=raw["finished"],
            streams={entry.name: entry for entry in streams},
            objects={entry.key: entry for entry in objects},
        )
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is damaged: {error}", field="directory") from error


def stream_path(directory: Path, name: str) -> Path:
    """Where the snapshot of a stream lies."""
    return directory / "streams" / f"{name}.snapshot"


def object_path(directory: Path, sha256: str) -> Path:
    """Where contents with this hash lie."""
    return directory / "objects" / sha256[:2] / sha256


def hash_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def faults(directory: Path, manifest: Manifest) -> list[str]:
    """Every file that is missing or not as it was written, in words."""
    found = [] if manifest.complete else ["the backup was not finished; run it again"]
    wanted = {stream_path(directory, one.name): one.sha256 for one in manifest.streams.values()}
    wanted |= {object_path(directory, one.sha256): one.sha256 for one in manifest.objects.values()}
    for path, sha256 in wanted.items():
        if not path.exists():
            found.append(f"{path.relative_to(directory)} is missing")
        elif hash_of(path) != sha256:
            found.append(f"{path.relative_to(directory)} is damaged")
    return found

"""What a checkpoint says of itself: the hash of every file, its parents, its data, its metrics.

Services of the release before and of the release after read it: a field that is new is written only
where it is set, and one that is not known is passed over.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from rstar_common.errors import InvalidInput

Model = Literal["policy", "ppm"]

MANIFEST = "manifest.json"
PREFIX = "checkpoints/"

BOOTSTRAP = "bootstrap"
"""Version and prompt format of the policy that is no model: the proposer of random programs. It is
promoted like any other checkpoint, and has no files."""

LATER_FIELDS = ("data_digests", "origin")
"""Readers of earlier releases refuse a manifest that has one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a checkpoint is and where it came from."""

    model: Model
    version: str
    prompt_format: str
    files: Mapping[str, str]
    """SHA-256 of each file, by name."""

    parents: Sequence[str] = ()
    batch_ids: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    created_at: float = 0.0
    """Seconds since the epoch."""

    data_digests: Sequence[str] = field(default_factory=list)
    """SHA-256 of the files that it learned from beside its batches."""

    origin: str = ""
    """What ordered its training, for people: run, round and recipe."""

    @property
    def prefix(self) -> str:
        """Where its files lie in the object store."""
        return f"{PREFIX}{self.model}/{self.version}/"

    def to_json(self) -> bytes:
        """As stored; what earlier releases do not know, and would refuse, only where it is set."""
        content = asdict(self)
        for name in LATER_FIELDS:
            if not content[name]:
                del content[name]
        return json.dumps(content, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read what `to_json` wrote; a field that a later release may have added is passed over.

        Raises:
            InvalidInput: it is not a manifest.
        """
        known = {one.name for one in fields(cls)}
        try:
            content = dict(json.loads(data))
            return cls(**{name: value for name, value in content.items() if name in known})
        except (ValueError, TypeError) as error:
            raise InvalidInput(f"not a checkpoint manifest: {error}", field=MANIFEST) from error


def describe(
    directory: Path,
    *,
    model: Model,
    prompt_format: str,
    parents: Sequence[str] = (),
    batch_ids: Sequence[str] = (),
    metrics: Mapping[str, float] | None = None,
    data_digests: Sequence[str] = (),
    origin: str = "",
) -> Manifest:
    """Hash the files of `directory` into a manifest whose version is `MODEL-HASH`."""
    files = {
        path.name: _sha256(path)
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name not in (MANIFEST, "README.md")
    }
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]
    return Manifest(
        model=model,
        version=f"{model}-{digest}",
        prompt_format=prompt_format,
        files=files,
        parents=list(parents),
        batch_ids=list(batch_ids),
        metrics=dict(metrics or {}),
        created_at=time.time(),
        data_digests=list(data_digests),
        origin=origin,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

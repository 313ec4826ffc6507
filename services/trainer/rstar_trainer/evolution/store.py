"""Records of runs in a JetStream bucket: what survives the trainer.

A record is the `rstar.v1.Run` that callers are told, written with compare-and-swap at
every change of phase: of two trainers that drive one run, the second learns of it at its
next write and lets go. Progress within a phase is told and not written, but for its seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

import nats.errors
from google.protobuf.message import DecodeError
from nats.js import JetStreamContext
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from rstar.v1 import evolution_pb2
from rstar_common.errors import Conflict, NotFound, Unavailable
from rstar_common.streams import RUN_RECORDS, bucket_keys, token

logger = logging.getLogger(__name__)

ENDED = frozenset(
    {
        evolution_pb2.RUN_STATE_SUCCEEDED,
        evolution_pb2.RUN_STATE_FAILED,
        evolution_pb2.RUN_STATE_CANCELLED,
    }
)


class DrivenElsewhere(Conflict):
    """Another trainer wrote the record: it drives the run."""


@dataclass(slots=True)
class _Entry:
    run: evolution_pb2.Run
    revision: int


class RunStore:
    """All runs, oldest first."""

    def __init__(self, jetstream: JetStreamContext, bucket: KeyValue) -> None:
        self._jetstream = jetstream
        self._bucket = bucket
        self._entries: dict[str, _Entry] = {}
        self._unconfirmed: dict[str, set[bytes]] = {}
        """Writes that were never answered, by run."""

        self._changed = asyncio.Event()
        self._closed = False

    async def load(self) -> None:
        """Read every record. Raises `Unavailable`."""
        found: list[_Entry] = []
        try:
            for key in await bucket_keys(self._jetstream, RUN_RECORDS):
                with contextlib.suppress(KeyNotFoundError):
                    entry = await self._bucket.get(key)
                    try:
                        run = evolution_pb2.Run.FromString(entry.value or b"")
                    except DecodeError:
                        logger.exception("run record %s cannot be read; it is left alone", key)
                        continue
                    found.append(_Entry(run, entry.revision or 0))
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"run records: {error}") from error
        found.sort(key=lambda entry: (entry.run.created_at.ToNanoseconds(), entry.run.run_id))
        self._entries = {entry.run.run_id: entry for entry in found}

    def get(self, run_id: str) -> evolution_pb2.Run:
        """A copy of a run's record.

        Raises:
            NotFound: there is none of that name.
        """
        if run_id not in self._entries:
            raise NotFound(f"no run {run_id}")
        copy = evolution_pb2.Run()
        copy.CopyFrom(self._entries[run_id].run)
        return copy

    def has(self, run_id: str) -> bool:
        """Whether there is a run of that name."""
        return run_id in self._entries

    def all(self) -> list[evolution_pb2.Run]:
        """Every run, oldest first."""
        return [self.get(run_id) for run_id in self._entries]

    async def add(self, run: evolution_pb2.Run) -> evolution_pb2.Run:
        """Add a run, or return the one that does the same under this name.

        Raises:
            Conflict: the name is taken by another recipe.
        """
        known = self._entries.get(run.run_id)
        if known is None:
            self._entries[run.run_id] = _Entry(run, await self._write(run, 0))
            self._tell()
            return self.get(run.run_id)
        if known.run.recipe_digest != run.recipe_digest:
            raise Conflict(
                f"run {run.run_id} is taken by another recipe; to take its trees over: "
                f"rstar evolve RECIPE --run NAME --branch {run.run_id}:ROUND"
            )
        if run.HasField("branch") and run.branch != known.run.branch:
            raise Conflict(f"run {run.run_id} is there already, and did not begin there")
        return self.get(run.run_id)

    def check_import(self, run: evolution_pb2.Run) -> None:
        """Refuse a run from elsewhere that has the name of another one here.

        Its trees would be taken for those of the run that is here.

        Raises:
            Conflict: the records differ.
        """
        known = self._entries.get(run.run_id)
        if known is not None and known.run != run:
            raise Conflict(f"run {run.run_id} is there already, and is another one")

    async def save(self, run: evolution_pb2.Run) -> None:
        """Write a change.

        Raises:
            DrivenElsewhere: somebody else wrote the record.
            Unavailable: NATS did not take it.
        """
        entry = self._entries[run.run_id]
        revision = await self._write(run, entry.revision)
        kept = evolution_pb2.Run()
        kept.CopyFrom(run)
        self._entries[run.run_id] = _Entry(kept, revision)
        self._tell()

    async def save_seconds(self, run_id: str, seconds: float) -> None:
        """Write how long the phase under way has been carried out; nothing else of it.

        Raises:
            DrivenElsewhere: somebody else wrote the record.
        """
        run = self.get(run_id)
        if not run.rounds or run.rounds[-1].phase == evolution_pb2.ROUND_PHASE_DONE:
            return  # a round's first phase is not in the record before it has ended
        run.rounds[-1].phase_seconds = seconds
        with contextlib.suppress(Unavailable):  # what comes later tells the same
            await self.save(run)

    def note(self, run_id: str, *, stage: str, progress: float, seconds_left: float) -> None:
        """Change what is told of progress, in memory alone."""
        run = self._entries[run_id].run
        if (run.stage, round(run.progress, 4)) != (stage, round(progress, 4)):
            run.stage, run.progress, run.seconds_left = stage, progress, seconds_left
            self._tell()

    async def next_change(self) -> None:
        """Return after any run changed.

        Raises:
            Unavailable: the service is stopping.
        """
        if not self._closed:
            await self._changed.wait()
        if self._closed:
            raise Unavailable("the trainer is stopping")

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._closed = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _write(self, run: evolution_pb2.Run, revision: int) -> int:
        data = run.SerializeToString()
        try:
            revision = await self._update(run.run_id, data, revision)
        except KeyWrongLastSequenceError as error:
            raise DrivenElsewhere(f"run {run.run_id} was changed by another trainer") from error
        except (nats.errors.Error, APIError, asyncio.CancelledError) as error:
            # It may have been written all the same.
            self._unconfirmed.setdefault(run.run_id, set()).add(data)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise Unavailable(f"run record {run.run_id}: {error}") from error
        self._unconfirmed.pop(run.run_id, None)
        return revision

    async def _update(self, run_id: str, data: bytes, revision: int) -> int:
        """Write over `revision`, or over what we wrote ourselves and were not told of."""
        try:
            return await self._bucket.update(token(run_id), data, last=revision)
        except KeyWrongLastSequenceError:
            late = await self._own_write(run_id)
            if not late:
                raise
            return await self._bucket.update(token(run_id), data, last=late)

    async def _own_write(self, run_id: str) -> int:
        """The revision of a record that is one of our own writes without an answer, or 0."""
        if run_id not in self._unconfirmed:
            return 0
        entry = await self._bucket.get(token(run_id))
        ours = entry.value in self._unconfirmed[run_id]
        return (entry.revision or 0) if ours else 0

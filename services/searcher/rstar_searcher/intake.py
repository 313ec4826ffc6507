"""Takes published batches in: one durable record and one work message a problem.

It may be killed anywhere and begin again: the record is created once under the batch's
id and digest, work and dead letters are keyed by problem, and what is done twice changes
nothing. A malformed message is dead-lettered with its reason; in a well-formed batch a bad
problem is dead-lettered alone and its neighbours are worked on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from rstar.v1 import events_pb2, searcher_pb2, types_pb2
from rstar_common.artifacts import INBOX, ObjectStore
from rstar_common.errors import Conflict, InvalidInput, NotFound, Overloaded
from rstar_common.rpc import failure_of
from rstar_common.streams import check_name
from rstar_searcher import wire
from rstar_searcher.batches import REFUSAL, Batches
from rstar_searcher.request import batch_search_id
from rstar_searcher.settings import SearchSettings
from rstar_searcher.settings_wire import settings_from
from rstar_searcher.tenants import HOUSE, Tenant, Tenants

logger = logging.getLogger(__name__)

MAX_BATCH_OBJECT_BYTES = 2**30
"""Largest object a batch may name: it lies in a temporary file while it is taken in."""

READ_BYTES = 2**20
"""Of that file at a time."""

MAX_LINES = 2 * 10**6
"""Of such an object; empty lines cost time too."""

MAX_PROBLEM_BYTES = 64 * 1024

Line = types_pb2.Problem | InvalidInput
"""A problem, or why a line of the batch's object is none."""


Admit = Callable[[Tenant, int], Awaitable[None]]
"""See `Quotas.admit`."""


class Intake:
    """Handles one tenant's messages of the BATCHES stream."""

    def __init__(
        self,
        batches: Batches,
        store: ObjectStore,
        defaults: SearchSettings,
        tenants: Tenants | None = None,
        *,
        tenant: Tenant | None = None,
        admit: Admit | None = None,
    ) -> None:
        """Without `tenant` those of the house; without `admit` nothing is too much."""
        self._batches = batches
        self._store = store
        self._defaults = defaults
        self._tenants = tenants or Tenants()
        self._tenant = tenant or self._tenants.named(HOUSE)
        self._admit = admit

    async def handle(self, msg: Msg) -> None:
        """Take one submission in.

        Raises:
            InvalidInput: the submission as a whole cannot be worked on.
        """
        submission = decode_submission(msg)
        batch_id = check_name(submission.batch_id, field="batch_id")
        settings = settings_from(submission.settings, self._defaults)
        if bool(submission.problems) == bool(submission.problems_key):
            raise InvalidInput("give either problems or problems_key", field="problems")
        self._tenants.check_submission(self._tenant, batch_id, submission.problems_key)
        record, revision = await self._known(submission)
        if record and record.state != searcher_pb2.BATCH_STATE_ACCEPTING:
            logger.info("batch published again", extra={"batch_id": batch_id})
            return
        # Before anything is written: a batch whose problems cannot be read is refused as a whole.
        with TemporaryFile() as file:
            count = await self._read(submission, file)
            if record is None:
                try:
                    if self._admit and self._tenant.max_queued:
                        await self._admit(self._tenant, count)
                except Overloaded as error:
                    await self._store_refusal(batch_id, error, msg)
                    return
                record, revision = await self._begun(submission)
            await self._batches.forget_refusal(batch_id)
            total = refused = 0
            seen: set[str] = set()
            for problem in _problems(submission, file):
                index = total + refused
                try:
                    checked = self._checked(problem, index, seen, settings)
                except InvalidInput as error:
                    refused += 1
                    await self._refuse(batch_id, problem, index, error)
                    continue
                total += 1
                await self._batches.put_work(
                    events_pb2.WorkItem(
                        batch_id=batch_id,
                        problem=checked,
                        settings=submission.settings,
                        search_id=batch_search_id(batch_id, checked.problem_id, settings),
                    )
                )
        record.total, record.refused = total, refused
        record.state = searcher_pb2.BATCH_STATE_RUNNING
        await self._batches.write(record, revision=revision)
        logger.info(
            "batch accepted", extra={"batch_id": batch_id, "total": total, "refused": refused}
        )

    async def bury(self, msg: Msg, error: Exception, attempts: int) -> None:
        """Dead-letter a submission that cannot be worked on; whoever asks for its batch is told."""
        await self._store_refusal(await self._named(msg), error, msg, attempts=attempts)

    async def _store_refusal(
        self, batch_id: str, error: Exception, msg: Msg, *, attempts: int = 0
    ) -> None:
        letter = searcher_pb2.DeadLetter(
            batch_id=batch_id,
            failure=failure_of(error, service="searcher"),
            attempts=attempts,
            payload=msg.data,
            content_type=_content_type(msg),
            submission=msg.metadata.sequence.stream,
        )
        item = REFUSAL if batch_id else hashlib.sha256(msg.data).hexdigest()
        await self._batches.put_dead(letter, item=item)
        logger.warning("batch refused: %s", error, extra={"batch_id": batch_id})

    async def _named(self, msg: Msg) -> str:
        """The batch that a submission would have been; empty where it has no right to that name."""
        try:
            submission = decode_submission(msg)
            batch_id = check_name(submission.batch_id, field="batch_id")
            self._tenants.check_submission(self._tenant, batch_id, submission.problems_key)
            record, _ = await self._known(submission)
        except InvalidInput:
            return ""
        mine = record is None or record.state == searcher_pb2.BATCH_STATE_ACCEPTING
        return batch_id if mine else ""

    async def _known(
        self, submission: events_pb2.BatchSubmission
    ) -> tuple[events_pb2.BatchRecord | None, int]:
        """The record of this batch, begun before, and its revision.

        Raises:
            InvalidInput: another batch has its name.
        """
        try:
            record, revision = await self._batches.record(submission.batch_id)
        except NotFound:
            return None, 0
        if record.digest != _digest(submission):
            raise InvalidInput("names another batch already", field="batch_id")
        return record, revision

    async def _begun(
        self, submission: events_pb2.BatchSubmission
    ) -> tuple[events_pb2.BatchRecord, int]:
        record = events_pb2.BatchRecord(
            batch_id=submission.batch_id,
            digest=_digest(submission),
            state=searcher_pb2.BATCH_STATE_ACCEPTING,
            settings=submission.settings,
        )
        record.created_at.GetCurrentTime()
        with suppress(Conflict):  # another searcher has the same message
            await self._batches.write(record, revision=0)
        stored, revision = await self._known(submission)
        assert stored is not None, "records are not deleted"
        return stored, revision

    async def _read(self, submission: events_pb2.BatchSubmission, file: IO[bytes]) -> int:
        """Copy the object that holds the problems into `file`; returns how many there are.

        Raises:
            InvalidInput: there is no such object, it is too large or has too many lines.
        """
        if submission.problems:
            return len(submission.problems)
        key = submission.problems_key
        if not key.startswith(INBOX) or ".." in key or key != key.strip():
            raise InvalidInput(f"must lie under {INBOX}", field="problems_key")
        size = 0
        try:
            async with aclosing(self._store.pieces(key)) as pieces:
                async for piece in pieces:
                    if (size := size + len(piece)) > MAX_BATCH_OBJECT_BYTES:
                        limit = f"{MAX_BATCH_OBJECT_BYTES >> 20} MiB"
                        raise InvalidInput(f"has more than {limit}", field="problems_key")
                    await asyncio.to_thread(file.write, piece)
        except NotFound as error:
            raise InvalidInput(f"there is no object {key!r}", field="problems_key") from error
        return await asyncio.to_thread(_count, file)

    def _checked(
        self,
        problem: Line,
        index: int,
        seen: set[str],
        settings: SearchSettings,
    ) -> types_pb2.Problem:
        field = f"problems[{index}]"
        if isinstance(problem, InvalidInput):
            raise problem
        checked = wire.problem_from(problem, field=field, id_required=True)
        if checked.problem_id in seen:
            raise InvalidInput(f"repeats {checked.problem_id!r}", field=f"{field}.problem_id")
        check_reference(checked.reference, settings, field=field)
        seen.add(checked.problem_id)
        return problem

    async def _refuse(self, batch_id: str, problem: Line, index: int, error: InvalidInput) -> None:
        known = problem if isinstance(problem, types_pb2.Problem) else types_pb2.Problem()
        letter = searcher_pb2.DeadLetter(
            batch_id=batch_id,
            problem_id=known.problem_id[:128],
            failure=failure_of(error, service="searcher"),
            payload=known.SerializeToString(),
            content_type="application/protobuf; message=rstar.v1.Problem",
        )
        await self._batches.put_dead(letter, item=f"problem {index}")


def check_reference(reference: str | None, settings: SearchSettings, *, field: str) -> None:
    """Data generation needs the reference; a test-time search must not see it.

    Raises:
        InvalidInput: naming the field.
    """
    if settings.mode.uses_reference and reference is None:
        raise InvalidInput(f"mode {settings.mode.value} needs it", field=f"{field}.reference")
    if not settings.mode.uses_reference and reference is not None:
        raise InvalidInput(
            "a test-time search must not carry it: grade afterwards", field=f"{field}.reference"
        )


def decode_submission(msg: Msg) -> events_pb2.BatchSubmission:
    """Read a submission as JSON (the default) or protobuf.

    Raises:
        InvalidInput: it is neither.
    """
    if "protobuf" in _content_type(msg):
        try:
            return events_pb2.BatchSubmission.FromString(msg.data)
        except DecodeError as error:
            raise InvalidInput("not a rstar.v1.BatchSubmission in protobuf") from error
    try:
        return json_format.Parse(msg.data, events_pb2.BatchSubmission(), max_recursion_depth=16)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"not a rstar.v1.BatchSubmission in JSON: {str(error)[:500]}") from error


def _digest(submission: events_pb2.BatchSubmission) -> str:
    return hashlib.sha256(submission.SerializeToString(deterministic=True)).hexdigest()


def _problems(submission: events_pb2.BatchSubmission, file: IO[bytes]) -> Iterator[Line]:
    """Every problem of a submission, `file` being its object."""
    yield from submission.problems
    for line in _lines(file):
        if line.strip():
            yield _problem(line)


def _count(file: IO[bytes]) -> int:
    count = 0
    for number, line in enumerate(_lines(file), start=1):
        if number > MAX_LINES:
            raise InvalidInput(f"has more than {MAX_LINES} lines", field="problems_key")
        count += bool(line.strip())
    return count


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Every line of an object. Of one that is too long for a problem comes the beginning."""
    file.seek(0)
    rest = b""
    while piece := file.read(READ_BYTES):
        # One line at a time: a list of them could be larger than the piece by far.
        for line in BytesIO(rest + piece):
            rest = b""
            if line.endswith(b"\n"):
                yield line
            else:
                rest = line[: MAX_PROBLEM_BYTES + 1]
    if rest:
        yield rest


def _problem(line: bytes) -> Line:
    if len(line) > MAX_PROBLEM_BYTES:
        return InvalidInput(f"has more than {MAX_PROBLEM_BYTES} bytes", field="problems_key")
    try:
        return json_format.Parse(line, types_pb2.Problem(), max_recursion_depth=8)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        return InvalidInput(f"not a rstar.v1.Problem in JSON: {str(error)[:300]}")


def _content_type(msg: Msg) -> str:
    return (msg.headers or {}).get("Content-Type", "application/json")[:128]

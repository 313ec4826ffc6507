"""The JetStream topology as data: nobody writes a subject string elsewhere.

    rstar.batches.submit[.TENANT]   BATCHES   work queue   anyone -> intake
    rstar.work.[TENANT.]BATCH.PROBLEM  WORK   work queue   intake -> searchers
    rstar.results.BATCH.PROBLEM     RESULTS   one message a subject, for good
    rstar.dead.BATCH.ITEM           DEAD      dead letters, the latest a subject
    rstar.events.NAME               EVENTS    search completed, checkpoint promoted
    rstar.journal.SEARCH            JOURNAL   what a running search was told; purged at its end
    rstar.search.SEARCH.events      (core)    live events of one search
    rstar.search.SEARCH.watch       (core)    ask its searcher for live events, for a while
    rstar.search.SEARCH.cancel      (core)    ask its searcher to end it

WORK and RESULTS refuse a second message on a subject: that is what makes a duplicate
delivery, or an intake that starts again half-way, leave exactly one result a problem.
User-given names never appear in a subject; `token` hashes them. Tenants are named by the operator,
and by their plain names: each has a subject and a durable consumer of its own, so that a server
can say who may submit as whom and searchers can take from tenants in turn.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import (
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError
from nats.js.kv import KeyValue

from rstar_common.errors import InvalidInput

BATCH_SUBMIT = "rstar.batches.submit"
SUBMIT_AS_TENANT = "rstar.batches.submit.*"
SEARCH_COMPLETED = "rstar.events.search_completed"
CHECKPOINT_PROMOTED = "rstar.events.checkpoint_promoted"

BATCHES = "RSTAR_BATCHES"
WORK = "RSTAR_WORK"
RESULTS = "RSTAR_RESULTS"
DEAD = "RSTAR_DEAD"
EVENTS = "RSTAR_EVENTS"
JOURNAL = "RSTAR_JOURNAL"

INTAKE = "intake"
"""Durable consumer of BATCHES, shared by searchers that take batches in."""

SEARCHERS = "searchers"
"""Durable consumer of WORK, shared by all searchers."""

WORK_ALL = "rstar.work.*.*"
"""Of whoever names no tenant."""

WORK_OF_TENANTS = "rstar.work.*.*.*"
RESULTS_ALL = "rstar.results.*.*"
DEAD_ALL = "rstar.dead.*.*"
JOURNAL_ALL = "rstar.journal.*"
SEARCH_ALL = "rstar.search.*.*"
SEARCH_EVENTS_ALL = "rstar.search.*.events"
SEARCH_WATCH_ALL = "rstar.search.*.watch"
SEARCH_CANCEL_ALL = "rstar.search.*.cancel"
NO_BATCH = "none"
"""Stands for the batch of a message that was too broken to name one."""

BATCH_RECORDS = "rstar_batches"
SEARCH_RECORDS = "rstar_searches"
POINTERS = "rstar_pointers"
JOB_RECORDS = "rstar_jobs"
RUN_RECORDS = "rstar_runs"
ATTEMPTS = "rstar_attempts"
USAGE = "rstar_usage"

WEEK_SECONDS = 7 * 24 * 3600.0
DUPLICATE_WINDOW_SECONDS = 120.0
"""Saves work only: nothing relies on it."""

_NAME = re.compile(r"[A-Za-z0-9._/:-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream of the topology."""

    name: str
    subjects: tuple[str, ...]
    work_queue: bool = False
    once_per_subject: bool = False
    latest_per_subject: bool = False
    max_age_seconds: float = 0.0

    def config(self, replicas: int) -> StreamConfig:
        """As nats-py wants it."""
        return StreamConfig(
            name=self.name,
            subjects=list(self.subjects),
            retention=RetentionPolicy.WORK_QUEUE if self.work_queue else RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=replicas,
            max_age=self.max_age_seconds,
            max_msgs_per_subject=1 if self.once_per_subject or self.latest_per_subject else -1,
            discard=DiscardPolicy.NEW if self.once_per_subject else DiscardPolicy.OLD,
            discard_new_per_subject=self.once_per_subject,
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
            allow_direct=True,
        )


STREAMS = (
    Stream(name=BATCHES, subjects=(BATCH_SUBMIT, SUBMIT_AS_TENANT), work_queue=True),
    Stream(name=WORK, subjects=(WORK_ALL, WORK_OF_TENANTS), work_queue=True, once_per_subject=True),
    Stream(name=RESULTS, subjects=(RESULTS_ALL,), once_per_subject=True),
    Stream(name=DEAD, subjects=(DEAD_ALL,), latest_per_subject=True),
    Stream(name=EVENTS, subjects=("rstar.events.*",), max_age_seconds=WEEK_SECONDS),
    Stream(name=JOURNAL, subjects=(JOURNAL_ALL,), max_age_seconds=WEEK_SECONDS),
)

KEY_VALUES = (
    KeyValueConfig(bucket=BATCH_RECORDS),
    KeyValueConfig(bucket=SEARCH_RECORDS, ttl=WEEK_SECONDS),
    KeyValueConfig(bucket=POINTERS, history=16),
    KeyValueConfig(bucket=JOB_RECORDS),
    KeyValueConfig(bucket=RUN_RECORDS),
    KeyValueConfig(bucket=ATTEMPTS, ttl=WEEK_SECONDS),
    KeyValueConfig(bucket=USAGE, ttl=WEEK_SECONDS),
)


async def ensure_topology(jetstream: JetStreamContext, *, replicas: int = 1) -> None:
    """Create what is missing. Safe to call from several places at once.

    A stream of an older release is given the subjects that it lacks; only the operator may.
    """
    await ensure_streams(jetstream, *(stream.name for stream in STREAMS), replicas=replicas)
    for stream in STREAMS:
        known = (await jetstream.stream_info(stream.name)).config
        if set(stream.subjects) - set(known.subjects or ()):
            await jetstream.update_stream(known, subjects=list(stream.subjects))
    for config in KEY_VALUES:
        await key_value(jetstream, config.bucket, replicas=replicas)


async def ensure_streams(jetstream: JetStreamContext, *names: str, replicas: int = 1) -> None:
    """Create those of the named streams that are missing. A service has rights to its own only."""
    for stream in STREAMS:
        if stream.name not in names:
            continue
        try:
            await jetstream.stream_info(stream.name)
        except NotFoundError:
            await jetstream.add_stream(stream.config(replicas))


async def key_value(jetstream: JetStreamContext, bucket: str, *, replicas: int = 1) -> KeyValue:
    """Open a bucket of the topology, creating it if it is missing."""
    try:
        return await jetstream.key_value(bucket)
    except NotFoundError:
        [config] = [config for config in KEY_VALUES if config.bucket == bucket]
        try:
            return await jetstream.create_key_value(config, replicas=replicas)
        except BadRequestError:  # another service was first
            return await jetstream.key_value(bucket)


async def bucket_keys(jetstream: JetStreamContext, bucket: str) -> list[str]:
    """The keys of a bucket of the topology, deleted ones included; at most 100,000.

    Not the client's own `keys()`: that one returns nothing when the server has sent every message
    before the client has looked at the first.
    """
    prefix = f"$KV.{bucket}."
    info = await jetstream.stream_info(f"KV_{bucket}", subjects_filter=f"{prefix}>")
    return [subject.removeprefix(prefix) for subject in info.state.subjects or ()]


def token(name: str) -> str:
    """A subject- and key-safe stand-in for a user-given name."""
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def check_name(name: str, *, field: str) -> str:
    """Return `name` if it is a proper user-given name.

    Raises:
        InvalidInput: naming `field`.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput("must be 1 to 128 of A-Z a-z 0-9 . _ / : -", field=field)
    return name


def submit_subject(tenant: str = "") -> str:
    """Where a tenant's batches are published; by default, those of whoever names none."""
    return f"{BATCH_SUBMIT}.{tenant}" if tenant else BATCH_SUBMIT


def work_subject(batch_id: str, problem_id: str, tenant: str = "") -> str:
    """Where the work item of a problem is published."""
    return f"{work_subjects(tenant)[:-3]}{token(batch_id)}.{token(problem_id)}"


def work_subjects(tenant: str = "") -> str:
    """All work of a tenant; by default, of whoever names none."""
    return f"rstar.work.{tenant}.*.*" if tenant else WORK_ALL


def intake_of(tenant: str) -> str:
    """Durable consumer of a tenant's batches."""
    return f"{INTAKE}-{tenant}" if tenant else INTAKE


def searchers_of(tenant: str) -> str:
    """Durable consumer of a tenant's work."""
    return f"{SEARCHERS}-{tenant}" if tenant else SEARCHERS


def result_subject(batch_id: str, problem_id: str = "*") -> str:
    """Where the one result of a problem is published; by default, of all of a batch."""
    item = problem_id if problem_id == "*" else token(problem_id)
    return f"rstar.results.{token(batch_id)}.{item}"


def dead_subject(batch_id: str, item: str = "*") -> str:
    """Where a dead letter is kept; `item` names it within its batch."""
    batch = token(batch_id) if batch_id else NO_BATCH
    return f"rstar.dead.{batch}.{item if item == '*' else token(item)}"


def search_events_subject(search_id: str) -> str:
    """Core NATS: live events of one search."""
    return f"rstar.search.{token(search_id)}.events"


def search_watch_subject(search_id: str) -> str:
    """Core NATS: whoever runs the search publishes its live events for a while."""
    return f"rstar.search.{token(search_id)}.watch"


def journal_subject(search_id: str) -> str:
    """Where a running search is journaled."""
    return f"rstar.journal.{token(search_id)}"


def search_cancel_subject(search_id: str) -> str:
    """Core NATS: whoever runs the search ends it."""
    return f"rstar.search.{token(search_id)}.cancel"

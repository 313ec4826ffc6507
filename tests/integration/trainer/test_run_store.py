"""Records of runs on a real queue whose answers get lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats import connect
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.kv import KeyValue

from rstar.v1 import evolution_pb2
from rstar_common.config import NatsSettings
from rstar_common.errors import Conflict, Unavailable
from rstar_common.streams import RUN_RECORDS, key_value
from rstar_trainer.evolution.store import RunStore


class Unanswered:
    """A bucket that takes what it is told to and, asked to, does not say so."""

    def __init__(self, bucket: KeyValue) -> None:
        self._bucket = bucket
        self.silent = False
        self.error: type[BaseException] = NatsTimeoutError

    def __getattr__(self, name: str) -> object:
        return getattr(self._bucket, name)

    async def update(self, key: str, value: bytes, last: int) -> int:
        revision = await self._bucket.update(key, value, last=last)
        if self.silent:
            raise self.error
        return revision


@asynccontextmanager
async def stores(settings: NatsSettings) -> AsyncIterator[tuple[RunStore, RunStore, Unanswered]]:
    """Two trainers' records of one bucket; the answers of the first may get lost."""
    client = await connect(
        servers=list(settings.servers),
        user=settings.user,
        password=settings.password.get_secret_value(),
    )
    try:
        jetstream = client.jetstream()
        bucket = await key_value(jetstream, RUN_RECORDS)
        unanswered = Unanswered(bucket)
        yield RunStore(jetstream, unanswered), RunStore(jetstream, bucket), unanswered
    finally:
        await client.close()


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_write_whose_answer_was_lost_is_nobody_elses(nats: NatsSettings, lost: int):
    async with stores(nats) as (ours, _, bucket):
        run = await ours.add(evolution_pb2.Run(run_id="r"))
        bucket.silent = True
        for stage in range(lost):
            run.stage = f"stage {stage}"
            with pytest.raises(Unavailable):
                await ours.save(run)
        bucket.silent = False
        run.stage = "after"
        await ours.save(run)
        run.stage = "later"
        await ours.save(run)
        await ours.load()
        assert ours.get("r").stage == "later"


async def test_a_run_that_was_begun_without_an_answer_is_begun_once(nats: NatsSettings):
    async with stores(nats) as (ours, _, bucket):
        bucket.silent = True
        with pytest.raises(Unavailable):
            await ours.add(evolution_pb2.Run(run_id="r"))
        bucket.silent = False
        assert (await ours.add(evolution_pb2.Run(run_id="r", stage="again"))).stage == "again"


async def test_what_another_trainer_wrote_after_it_is_theirs(nats: NatsSettings):
    async with stores(nats) as (ours, theirs, bucket):
        run = await ours.add(evolution_pb2.Run(run_id="r"))
        bucket.silent = True
        run.stage = "ours"
        with pytest.raises(Unavailable):
            await ours.save(run)
        bucket.silent = False
        await theirs.load()
        other = theirs.get("r")
        other.stage = "theirs"
        await theirs.save(other)
        run.stage = "ours again"
        with pytest.raises(Conflict):
            await ours.save(run)


async def test_a_write_that_was_cancelled_under_way_is_our_own(nats: NatsSettings):
    async with stores(nats) as (ours, _, bucket):
        run = await ours.add(evolution_pb2.Run(run_id="r"))
        bucket.silent, bucket.error = True, asyncio.CancelledError
        with pytest.raises(asyncio.CancelledError):
            await ours.save(run)
        bucket.silent = False
        run.stage = "cancelled"
        await ours.save(run)


async def test_seconds_of_a_phase_are_written_beside_what_it_has_not_told_yet(nats: NatsSettings):
    async with stores(nats) as (ours, theirs, bucket):
        run = await ours.add(evolution_pb2.Run(run_id="r"))
        await ours.save_seconds("r", 1.0)  # no phase is in the record
        run.rounds.add(phase=evolution_pb2.ROUND_PHASE_SEARCHING)
        await ours.save(run)
        run.rounds[0].solved = 3  # what a phase finds is written when it has ended
        await ours.save_seconds("r", 2.5)
        await theirs.load()
        [written] = theirs.get("r").rounds
        assert (written.phase_seconds, written.solved) == (2.5, 0)
        bucket.silent = True
        await ours.save_seconds("r", 5.0)  # an answer that is lost ends no phase
        bucket.silent = False
        await ours.save(run)
        await theirs.load()
        with pytest.raises(Conflict):
            await asyncio.gather(*(one.save_seconds("r", 9.0) for one in (theirs, ours)))


async def test_a_record_that_cannot_be_read_hides_no_other(nats: NatsSettings):
    async with stores(nats) as (ours, theirs, bucket):
        await ours.add(evolution_pb2.Run(run_id="r"))
        await bucket.put("torn", b"\xff")
        await theirs.load()
        assert [run.run_id for run in theirs.all()] == ["r"]

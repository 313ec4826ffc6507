"""A lease ends although the clock of who held it was wrong, and lasts while it is renewed."""

from __future__ import annotations

import asyncio
import time

import nats
import pytest
import pytest_asyncio
from nats.errors import TimeoutError as NatsTimeoutError

from rstar.v1 import events_pb2, tree_pb2
from rstar_common.errors import Conflict, Unavailable
from rstar_common.streams import SEARCH_RECORDS, key_value
from rstar_searcher.records import Lease, SearchRecords
from tests.support.eventually import eventually
from tests.support.searcher_stack import new_id

HOUR = 3600


@pytest_asyncio.fixture
async def bucket(nats_url):
    connection = await nats.connect(nats_url)
    yield await key_value(connection.jetstream(), SEARCH_RECORDS)
    await connection.close()


async def test_a_lease_of_a_searcher_that_died_with_its_clock_ahead_ends(bucket):
    others = SearchRecords(bucket, lease_seconds=0.2)
    dead = await running(bucket, skew_seconds=HOUR)
    assert (await others.get(dead)).running, "nobody can know yet"
    async with asyncio.timeout(30):
        while (await others.get(dead)).running:  # noqa: ASYNC110 -- a lease ends by itself
            await asyncio.sleep(0.05)


async def test_a_lease_of_a_clock_ahead_that_is_renewed_lasts(bucket):
    others = SearchRecords(bucket, lease_seconds=HOUR)
    living = await running(bucket, skew_seconds=HOUR)
    first = await others.get(living)
    first.record.renewed_at.GetCurrentTime()
    await others.write(first.record, revision=first.revision)
    again = await others.get(living)
    assert again.revision > first.revision
    assert again.running
    assert again.age_seconds < HOUR / 2, "its age counts from the renewal"


async def test_a_lease_of_a_clock_behind_is_over_at_once(bucket):
    others = SearchRecords(bucket, lease_seconds=60)
    assert not (await others.get(await running(bucket, skew_seconds=-HOUR))).running


async def running(bucket, *, skew_seconds: float) -> str:
    search_id = new_id("search")
    record = events_pb2.SearchRecord(search_id=search_id)
    record.state.status = tree_pb2.SEARCH_STATUS_RUNNING
    await SearchRecords(bucket).write(record, revision=0)
    stored = await SearchRecords(bucket).get(search_id)
    stored.record.renewed_at.FromMilliseconds(int(1000 * (time.time() + skew_seconds)))
    await SearchRecords(bucket).write(stored.record, revision=stored.revision)
    return search_id


class Deaf:
    """A bucket that takes what it is told to; its answers can get lost."""

    def __init__(self, bucket) -> None:
        self._bucket = bucket
        self.lost = 0

    def __getattr__(self, name: str):
        return getattr(self._bucket, name)

    async def update(self, key, value, last):
        revision = await self._bucket.update(key, value, last=last)
        if self.lost:
            self.lost -= 1
            raise NatsTimeoutError
        return revision


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_renewal_whose_answer_was_lost_is_our_own(bucket, lost):
    deaf = Deaf(bucket)
    records = SearchRecords(deaf, lease_seconds=0.05)
    record = events_pb2.SearchRecord(search_id=new_id("search"), searcher="ours")
    record.state.status = tree_pb2.SEARCH_STATUS_RUNNING
    record.renewed_at.GetCurrentTime()
    lease = Lease(records, record, await records.write(record, revision=0))
    deaf.lost = lost
    renewing = asyncio.ensure_future(lease.renew())
    await eventually(lambda: not deaf.lost)
    record.state.status = tree_pb2.SEARCH_STATUS_ANSWERED
    await lease.settle()
    renewing.cancel()
    settled = await records.get(record.search_id)
    assert settled.record.state.status == tree_pb2.SEARCH_STATUS_ANSWERED


async def test_what_another_wrote_over_a_lost_renewal_is_theirs(bucket):
    deaf = Deaf(bucket)
    records = SearchRecords(deaf, lease_seconds=60)
    record = events_pb2.SearchRecord(search_id=new_id("search"), searcher="ours")
    record.renewed_at.GetCurrentTime()
    lease = Lease(records, record, await records.write(record, revision=0))
    deaf.lost = 1
    with pytest.raises(Unavailable):
        await lease.settle()
    stored = await records.get(record.search_id)
    stored.record.searcher = "theirs"
    stored.record.renewed_at.GetCurrentTime()
    await records.write(stored.record, revision=stored.revision)
    with pytest.raises(Conflict):
        await lease.settle()

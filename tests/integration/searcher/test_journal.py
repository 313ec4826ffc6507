"""The journal on a real NATS: written by one, in parts, and read back exactly."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import nats.errors
import pytest

from rstar.v1 import journal_pb2
from rstar_common import streams
from rstar_common.bus import connected
from rstar_common.errors import Conflict
from rstar_searcher.driver import EndedBy, drive
from rstar_searcher.journal import MAX_UNWRITTEN_ENTRIES, Journal, Journals
from rstar_searcher.journal_wire import history_of, told_entry
from rstar_searcher.meter import Meter
from rstar_searcher.model import (
    Candidate,
    Dropped,
    Expanded,
    Outcome,
    Raised,
    StepKind,
    Verdict,
    packed_ids,
    packed_logprobs,
)
from rstar_searcher.services import Problem
from rstar_searcher.settings import Mode, SearchSettings
from rstar_searcher.strategies import Told, make_strategy, replay
from rstar_searcher.tree import NodeId
from tests.support.searcher_stack import new_id
from tests.support.toy_world import ToyWorld

BEGUN = journal_pb2.SearchBegun(batch_id="b")


@asynccontextmanager
async def journals(nats_settings, wrap=lambda jetstream: jetstream):
    async with connected(nats_settings, name="test") as bus:
        await streams.ensure_topology(bus.jetstream())
        yield Journals(wrap(bus.jetstream()))


def told(node: int, *, tokens: int = 3) -> Told:
    candidate = Candidate(
        text="x = 1",
        kind=StepKind.FINAL_CODE,
        token_ids=packed_ids(range(tokens)),
        tokenizer="t",
        token_logprobs=packed_logprobs([-0.5] * tokens),
        seed=2**63 - 1,
        policy_version="p",
        output_is_answer=True,
    )
    child = Expanded(
        sample=3,
        candidate=candidate,
        multiplicity=2,
        outcome=Outcome(stdout="1\n", wall_seconds=0.1, cpu_seconds=0.2),
        ppm_score=-0.3,
        ppm_version="q",
        sandbox_version="s",
        answer="1",
        verdict=Verdict.EQUAL,
    )
    unanswered = Expanded(sample=0, candidate=Candidate(text="y", kind=StepKind.CODE))
    raised = Outcome(raised=Raised(type="ValueError", message="no", line=2), limit=3)
    return Told(
        node=NodeId(node),
        children=(child, unanswered),
        dropped=(Dropped(candidate=candidate, outcome=raised), Dropped(candidate=candidate)),
    )


@asynccontextmanager
async def writing(journal: Journal):
    async with asyncio.TaskGroup() as group:
        group.create_task(journal.run())
        yield
        journal.close()


async def test_what_was_told_is_read_back_exactly(nats_settings):
    entries = [told(0), told(1, tokens=200_000), told(2)]
    meter = Meter(generated_tokens=7, sandbox_seconds=0.1 + 0.2)
    async with journals(nats_settings) as all_of_them:
        search_id = new_id("s")
        journal, history = await all_of_them.open(search_id, BEGUN)
        assert history.told == []
        async with writing(journal):
            for entry in entries:
                journal.told(entry, meter)
            await journal.ended(EndedBy.SOLVED, meter)
        _, history = await all_of_them.open(search_id, journal_pb2.SearchBegun(batch_id="other"))
        assert history.told == entries, "one of them is larger than a message of NATS may be"
        assert history.begun == BEGUN
        assert history.ended is EndedBy.SOLVED
        assert history.cost.generated_tokens == 7
        assert history.cost.sandbox_seconds == 0.1 + 0.2
        await all_of_them.purge(search_id)
        assert await all_of_them.begun(search_id) is None


async def test_who_was_fenced_off_cannot_write_not_even_after_the_purge(nats_settings):
    async with journals(nats_settings) as all_of_them:
        search_id = new_id("s")
        sleeper, _ = await all_of_them.open(search_id, BEGUN)
        taker, _ = await all_of_them.open(search_id, BEGUN)
        with pytest.raises(Conflict):
            await sleeper.write(b"")
        await taker.write(b"")
        await all_of_them.purge(search_id)
        with pytest.raises(Conflict):
            await sleeper.write(b"")


async def test_an_append_whose_reply_was_lost_is_not_taken_for_anothers(nats_settings):
    class Lossy:
        """Stores, and says it did not."""

        def __init__(self, jetstream):
            self.jetstream, self.losses = jetstream, 2

        def __getattr__(self, name):
            return getattr(self.jetstream, name)

        async def publish(self, *args, **kwargs):
            ack = await self.jetstream.publish(*args, **kwargs)
            if self.losses:
                self.losses -= 1
                raise nats.errors.TimeoutError
            return ack

    async with journals(nats_settings, Lossy) as all_of_them:
        search_id = new_id("s")
        journal, _ = await all_of_them.open(search_id, BEGUN)
        async with writing(journal):
            journal.told(told(0), Meter())
            await journal.ended(EndedBy.ROLLOUTS, Meter())
        _, history = await all_of_them.open(search_id, BEGUN)
        assert history.told == [told(0)]


async def test_a_search_waits_when_much_is_unwritten_and_goes_on_when_it_is_written(nats_settings):
    async with journals(nats_settings) as all_of_them:
        journal, _ = await all_of_them.open(new_id("s"), BEGUN)
        for node in range(MAX_UNWRITTEN_ENTRIES + 1):
            await journal.room()
            journal.told(told(node), Meter())
        waiting = asyncio.ensure_future(journal.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        async with writing(journal):
            await waiting


def test_what_a_writer_left_half_written_is_forgotten():
    entries = journal_pb2.JournalEntries(entries=[told_entry(told(0), Meter())])
    data = entries.SerializeToString()
    half = journal_pb2.JournalRecord(writer="a", index=0, entries=data[:50], continued=True)
    whole = journal_pb2.JournalRecord(writer="b", index=0, entries=data)
    assert history_of([half]).told == []
    assert history_of([half, whole]).told == [told(0)]


@pytest.mark.parametrize("cut", [0, 1, 7, 20])
async def test_a_search_that_goes_on_from_its_journal_ends_as_if_nothing_happened(
    nats_settings, cut
):
    settings = SearchSettings(
        mode=Mode.PPM_AUGMENTED, rollouts=16, parallel_rollouts=1, trees=1, seed=5
    )
    problem = Problem(question="toy?", reference="3")

    async def searched(strategy, world, ledger, asks=(), cancel_after=None):
        cancel, left = asyncio.Event(), cancel_after

        def on_progress(progress):
            nonlocal left
            if left is not None and progress.children:
                left -= 1
                if left <= 0:
                    cancel.set()

        if left == 0:
            cancel.set()
        return await drive(
            strategy,
            problem,
            settings,
            world,
            world.meter,
            cancel=cancel,
            on_progress=on_progress,
            ledger=ledger,
            under_way=asks,
        )

    def nodes(strategy):
        return [strategy.tree[i] for i in strategy.tree.ids()]

    undisturbed = make_strategy(settings)
    await searched(undisturbed, ToyWorld(), None)
    async with journals(nats_settings) as all_of_them:
        search_id = new_id("s")
        journal, _ = await all_of_them.open(search_id, BEGUN)
        async with writing(journal):
            await searched(make_strategy(settings), ToyWorld(), journal, cancel_after=cut)
            await journal.written()
        journal, history = await all_of_them.open(search_id, BEGUN)
        resumed = make_strategy(settings)
        asks = replay(resumed, history.told)
        async with writing(journal):
            await searched(resumed, ToyWorld(), journal, asks)
    assert nodes(resumed) == nodes(undisturbed)
    assert resumed.backups == undisturbed.backups

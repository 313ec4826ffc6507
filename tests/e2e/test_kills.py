"""A batch of 24 problems survives what dies under it: every problem has exactly one result."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import nats
import pytest

from rstar.v1 import events_pb2, searcher_pb2
from rstar_common.streams import BATCH_RECORDS, BATCH_SUBMIT, WORK_ALL, token
from tests.support.command_line import LONG_SEARCH, MANY_PROGRAMS
from tests.support.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROBLEMS = [
    {"problemId": f"n{n}", "question": f"Solve {n}*x = {5 * n} for x."} for n in range(2, 26)
]
ATTEMPTS = 5


def test_a_searcher_killed_half_way_is_healed_and_every_problem_has_one_result(rstar, tmp_path):
    path = tmp_path / "many.jsonl"
    # Searches that outlast the kill.
    questions = [LONG_SEARCH.replace("3", str(n)) for n in range(len(PROBLEMS))]
    lines = [
        {"id": problem["problemId"], "question": question}
        for problem, question in zip(PROBLEMS, questions, strict=True)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    rstar("submit", str(path), "--batch", "killed", *MANY_PROGRAMS)
    before = pid_of(rstar, "searcher1")
    done: list[str] = []

    def some_are_done() -> bool:
        done[:] = finished(rstar, "killed")
        return len(done) >= 4

    asyncio.run(eventually(some_are_done, seconds=120))
    os.kill(before, signal.SIGKILL)
    assert len(done) < len(PROBLEMS), "it was half-way"
    rstar("watch", "killed")
    assert sorted(finished(rstar, "killed")) == sorted(p["problemId"] for p in PROBLEMS)
    assert pid_of(rstar, "searcher1") != before


async def test_an_intake_killed_half_way_begins_again_and_every_problem_has_one_result(rstar):
    """The intake is a role of the searcher: it dies as soon as its first work item is seen."""
    client = await nats.connect(
        (await asyncio.to_thread(rstar.json, "env", "--operator"))["NATS_URL"]
    )
    try:
        for attempt in range(ATTEMPTS):
            batch = f"intake-killed-{attempt}"
            published = await kill_at_first_work_item(rstar, client, batch)
            await asyncio.to_thread(rstar, "watch", batch)
            found = await asyncio.to_thread(finished, rstar, batch)
            assert sorted(found) == sorted(p["problemId"] for p in PROBLEMS)
            if 0 < published < len(PROBLEMS):
                return
        pytest.fail(f"the intake was never caught half-way in {ATTEMPTS} batches")
    finally:
        await client.close()


async def kill_at_first_work_item(rstar, client: nats.NATS, batch: str) -> int:
    """Publish the batch, kill its intake; how many work items there were when it was dead."""
    intake = await asyncio.to_thread(pid_of, rstar, "searcher1")
    seen = await client.subscribe(WORK_ALL)
    body = json.dumps({"batchId": batch, "problems": PROBLEMS}).encode()
    await client.jetstream().publish(BATCH_SUBMIT, body)
    await seen.next_msg(timeout=90)
    os.kill(intake, signal.SIGKILL)
    await client.flush()
    published = 1 + seen.pending_msgs
    await seen.unsubscribe()
    records = await client.jetstream().key_value(BATCH_RECORDS)
    record = events_pb2.BatchRecord.FromString((await records.get(token(batch))).value)
    half_way = record.state == searcher_pb2.BATCH_STATE_ACCEPTING
    return published if half_way else len(PROBLEMS)


def finished(rstar, batch: str) -> list[str]:
    return [json.loads(line)["problem_id"] for line in rstar("results", batch).splitlines()]


def pid_of(rstar, name: str) -> int:
    units = rstar.json("status", expect=None)["units"]
    return next(unit["pid"] for unit in units if unit["name"] == name)

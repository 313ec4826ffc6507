"""A short piece of chaos, and that its accounts would show what went wrong."""

from __future__ import annotations

import asyncio

import pytest

from rstar.v1 import searcher_pb2
from rstar_cli.chaos.campaign import Campaign, spoil
from rstar_cli.chaos.examination import examine
from rstar_cli.chaos.orphans import orphans
from rstar_cli.chaos.system import System, system
from rstar_cli.chaos.tiers import simulated_tiers
from rstar_cli.chaos.waves import Size, Wave
from rstar_cli.local.plan import STACK_MARK
from rstar_common import streams

pytestmark = pytest.mark.timeout(240)

FAULTS = ("a searcher killed", "nats cut")
SMALL = Size(problems=8, rollouts=1)


async def test_a_searcher_killed_and_nats_cut_lose_nothing_and_the_accounts_would_show_it(tmp_path):
    async with system(
        tmp_path, lambda path: simulated_tiers(path, apart=False), extras=False, held_seconds=1.0
    ) as built:
        campaign = await spoil(
            built, seconds=0, seed=1, size=SMALL, stop=asyncio.Event(), only=FAULTS
        )
        assert campaign.troubles == []
        assert (campaign.waves, campaign.submitted, campaign.results) == (3, 24, 24)
        assert set(campaign.recoveries) == set(FAULTS)
        assert campaign.trees_compared == 16
        assert campaign.passed
        await the_accounts_show_a_lost_result_a_wrong_tree_and_an_orphan(built)
        told: list[str] = []
        await examine(built, told.append)
        assert len(told) == 4 + 3 * 3
        assert [line for line in told if not line.endswith(": answers")] == []
        assert "task " in built.units["searcher1"].command.log.read_text()


async def the_accounts_show_a_lost_result_a_wrong_tree_and_an_orphan(built: System) -> None:
    wave = Wave(built, "robbed", SMALL)
    await wave.publish()
    assert await wave.ended()
    whole = await wave.account()
    assert (whole.lost, whole.wrong, len(whole.trees)) == ([], [], 8)
    robbed = streams.result_subject("robbed", "p3")
    await built.jetstream.purge_stream(streams.RESULTS, subject=robbed)
    other = await built.store.get(await key_of(built, "robbed", "p4"))
    await built.store.put(await key_of(built, "robbed", "p5"), other)
    stray = await asyncio.create_subprocess_exec(
        "sleep", "600", env={STACK_MARK: built.mark, "PATH": "/usr/bin:/bin"}
    )
    try:
        account, found = await wave.account(), await orphans(built, seconds=0.0)
    finally:
        stray.kill()
        await stray.wait()
    assert account.lost == ["p3"]
    assert account.wrong == ["p5: the tree of another search"]
    assert account.trees["p5"] != whole.trees["p5"]
    assert [line.split()[0] for line in found] == [str(stray.pid)]
    campaign = Campaign(seed=0)
    campaign.add("robbed", account, found)
    assert not campaign.passed


async def key_of(built: System, batch: str, problem: str) -> str:
    subject = streams.result_subject(batch, problem)
    message = await built.jetstream.get_last_msg(streams.RESULTS, subject)
    return searcher_pb2.BatchResult.FromString(message.data or b"").result.tree_key

"""Every service's user on a real nats-server: does its work, and is refused everybody else's."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import nats
import pytest
import pytest_asyncio
from nats.js.api import AckPolicy, ConsumerConfig

from rstar.v1 import events_pb2
from rstar_cli.local.credentials import nats_of
from rstar_cli.local.nats import nats_ready, nats_settings
from rstar_cli.local.ports import free_ports
from rstar_cli.local.process import Command, program
from rstar_client import AsyncClient, Problem
from rstar_common import streams
from rstar_common.bus import connected, publish_once
from rstar_common.checkpoints import Manifest, Pointers
from rstar_common.consumer import EVERYTHING, Consumer, Route
from rstar_common.nats_roles import (
    OPERATOR,
    USERS,
    authorization,
    inbox,
    role_of,
    tenant_role,
)
from tests.support.servers import nats_server, running

PUBLISHERS = {
    "rstar.batches.submit": {"publisher", "trainer"},
    "rstar.batches.submit.team-a": set(),
    "rstar.batches.other": set(),
    "rstar.work.b.p": {"searcher"},
    "rstar.work.team-a.b.p": {"searcher"},
    "rstar.results.b.p": {"searcher"},
    "rstar.dead.b.p": {"searcher"},
    "rstar.journal.s": {"searcher"},
    "rstar.search.s.events": {"searcher"},
    "rstar.search.s.cancel": {"searcher"},
    "rstar.events.search_completed": {"searcher"},
    "rstar.events.checkpoint_promoted": {"trainer"},
    "rstar.events.other": set(),
    "$KV.rstar_batches.b": {"searcher"},
    "$KV.rstar_searches.s": {"searcher"},
    "$KV.rstar_attempts.a": {"searcher"},
    "$KV.rstar_usage.team-a": {"searcher"},
    "$KV.rstar_pointers.policy": {"trainer"},
    "$KV.rstar_jobs.j": {"trainer"},
    "$KV.rstar_runs.r": {"trainer"},
    "$KV.other.k": set(),
    "$JS.API.INFO": set(),
    "$JS.API.STREAM.LIST": set(),
    "$JS.API.STREAM.CREATE.other": set(),
    "$JS.API.STREAM.CREATE.RSTAR_RESULTS": {"searcher"},
    "$JS.API.STREAM.CREATE.KV_rstar_pointers": {"trainer", "policy", "ppm"},
    "$JS.API.STREAM.INFO.RSTAR_WORK": {"searcher", "observer"},
    "$JS.API.STREAM.INFO.KV_rstar_jobs": {"trainer", "observer"},
    "$JS.API.STREAM.PURGE.RSTAR_JOURNAL": {"searcher"},
    "$JS.API.STREAM.MSG.DELETE.RSTAR_DEAD": {"searcher"},
    "$JS.API.STREAM.MSG.GET.RSTAR_DEAD": {"searcher"},
    "$JS.API.STREAM.MSG.GET.RSTAR_RESULTS": {"searcher"},
    "$JS.API.DIRECT.GET.RSTAR_RESULTS": {"searcher"},
    "$JS.API.DIRECT.GET.KV_rstar_pointers.$KV.rstar_pointers.policy": {"trainer", "policy", "ppm"},
    "$JS.API.STREAM.MSG.GET.KV_rstar_batches": {"searcher"},
    "$JS.API.STREAM.MSG.GET.KV_rstar_jobs": {"trainer"},
    "$JS.API.CONSUMER.CREATE.RSTAR_DEAD": {"searcher"},
    "$JS.API.CONSUMER.CREATE.RSTAR_JOURNAL": set(),
    "$JS.API.CONSUMER.CREATE.RSTAR_WORK.searchers-team-a.rstar.work.team-a.*.*": {"searcher"},
    "$JS.API.CONSUMER.CREATE.RSTAR_WORK.searchers": {"searcher"},
    "$JS.API.CONSUMER.CREATE.RSTAR_RESULTS.mine.rstar.results.b.p": set(),
    "$JS.API.CONSUMER.CREATE.KV_rstar_pointers": {"policy", "ppm"},
    "$JS.API.CONSUMER.MSG.NEXT.RSTAR_WORK.searchers": {"searcher"},
    "$JS.API.CONSUMER.MSG.NEXT.RSTAR_BATCHES.intake": {"searcher"},
    "$JS.API.CONSUMER.DELETE.RSTAR_WORK.searchers": set(),
    "$JS.ACK.RSTAR_WORK.searchers.1.1.1.1.0": {"searcher"},
    "$JS.API.STREAM.RESTORE.other": set(),
    "$SYS.REQ.SERVER.PING": set(),
    "anything": set(),
}
"""Who may publish where: written by hand, so that a mistake in the roles is seen here."""

for _stream in (*(one.name for one in streams.STREAMS), "KV_rstar_pointers", "KV_rstar_batches"):
    for _verb in ("STREAM.DELETE", "STREAM.UPDATE", "STREAM.SNAPSHOT"):
        PUBLISHERS[f"$JS.API.{_verb}.{_stream}"] = set()
    PUBLISHERS.setdefault(f"$JS.API.STREAM.PURGE.{_stream}", set())
    PUBLISHERS.setdefault(f"$JS.API.STREAM.MSG.DELETE.{_stream}", set())

LAST = "forbidden.to.all"
"""Its refusal comes after every other's."""

LISTENERS = {
    "rstar.search.*.cancel": {"searcher"},
    "rstar.search.*.watch": {"searcher"},
    "rstar.search.*.events": {"searcher", "observer"},
    "rstar.events.*": {"observer"},
    "rstar.batches.submit": set(),
    "rstar.results.*.*": set(),
    "rstar.dead.>": set(),
    "rstar.work.*.*": set(),
    "$KV.>": set(),
    "$JS.EVENT.>": set(),
    "$SYS.>": set(),
    "_INBOX.>": {"publisher", "observer"},
    "_REPLY.>": set(),
    "_REPLY.rstar.>": set(),
    ">": set(),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory):
    async with nats_server(tmp_path_factory.mktemp("nats")) as settings:
        client = await nats.connect(**login(settings))
        await streams.ensure_topology(client.jetstream())
        await client.close()
        yield settings


def login(settings):
    return {
        "servers": settings.servers,
        "user": settings.user,
        "password": settings.password.get_secret_value(),
        "inbox_prefix": inbox(settings.user),
        "allow_reconnect": False,
    }


@asynccontextmanager
async def as_user(operator, user):
    """A connection of one service's user, what the server refused it, and when it was all said."""
    refused = []
    said = asyncio.Event()

    async def note(error):
        refused.append(str(error))
        if named(LAST, refused[-1:]):
            said.set()

    client = await nats.connect(**login(nats_of(user, operator)), error_cb=note)
    try:
        yield client, refused, said
    finally:
        await client.close()


def named(subject, refused):
    # The client hands the server's words on in lower case.
    return any(f'"{subject.lower()}"' in line.lower() for line in refused)


@pytest.mark.parametrize("user", USERS)
async def test_a_service_may_publish_what_is_its_own_and_nothing_else(operator, user):
    for other in USERS:
        PUBLISHERS[f"{inbox(other)}.reply"] = set()  # nobody forges another's replies
    async with as_user(operator, user) as (client, refused, said):
        for subject in PUBLISHERS:
            await client.publish(subject, b"")
        await client.publish(LAST, b"")
        await said.wait()
    let_through = {subject for subject in PUBLISHERS if not named(subject, refused)}
    assert let_through == {subject for subject, users in PUBLISHERS.items() if user in users}


@pytest.mark.parametrize("user", USERS)
async def test_a_service_hears_its_own_replies_and_nobody_elses(operator, user):
    expected = dict(LISTENERS)
    expected |= {
        f"_REPLY.{other}.>": {other} & {"searcher", "trainer", "policy", "ppm"} for other in USERS
    }
    async with as_user(operator, user) as (client, refused, said):
        for subject in expected:
            await client.subscribe(subject)
        await client.publish(LAST, b"")
        await said.wait()
    heard = {subject for subject in expected if not named(subject, refused)}
    assert heard == {subject for subject, users in expected.items() if user in users}


@pytest.mark.parametrize(
    "login", [{}, {"user": "searcher", "pass": "wrong"}, {"user": "searcher"}, {"user": "nobody"}]
)
async def test_nobody_comes_in_without_a_password(operator, login):
    host, port = operator.servers[0].removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert (await reader.readline()).startswith(b"INFO")
    writer.write(b"CONNECT " + json.dumps({"verbose": False, **login}).encode() + b"\r\nPING\r\n")
    assert b"Authorization Violation" in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_the_services_users_can_do_what_the_services_do(operator):
    manifest = Manifest(model="policy", version="policy-1", prompt_format="mini", files={})
    handled = asyncio.Event()

    async def handle(msg):
        if msg.data == b"batch":
            handled.set()

    async def bury(msg, error, attempts):
        raise AssertionError(error)

    async with (
        as_user(operator, "searcher") as (searcher, a, _),
        as_user(operator, "trainer") as (trainer, b, _),
        as_user(operator, "policy") as (policy, c, _),
        as_user(operator, "publisher") as (publisher, d, _),
    ):
        await streams.ensure_streams(searcher.jetstream(), *role_of("searcher").makes)
        await streams.ensure_streams(trainer.jetstream(), *role_of("trainer").makes)
        mine = await streams.key_value(trainer.jetstream(), streams.POINTERS)
        await Pointers(mine).promote(manifest)
        theirs = Pointers(await streams.key_value(policy.jetstream(), streams.POINTERS))
        assert (await theirs.current("policy")).version == "policy-1"
        watch = theirs.watch("policy")
        assert (await anext(watch)).version == "policy-1"
        await watch.aclose()

        await searcher.jetstream().purge_stream(streams.JOURNAL)
        await publish_once(publisher.jetstream(), streams.BATCH_SUBMIT, b"batch")
        attempts = await streams.key_value(searcher.jetstream(), streams.ATTEMPTS)
        consumer = Consumer(
            searcher.jetstream(),
            attempts,
            Route(
                stream=streams.BATCHES,
                durable=streams.INTAKE,
                filter_subject=streams.BATCH_SUBMIT,
            ),
            handle,
            bury,
            concurrency=1,
        )
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run(stop))
            await handled.wait()
            stop.set()
        result = events_pb2.WorkItem(batch_id="b").SerializeToString()
        await publish_once(searcher.jetstream(), streams.result_subject("b", "p"), result)
        assert [a, b, c, d] == [[], [], [], []]


async def test_the_sandbox_has_no_user():
    assert "sandbox" not in USERS


async def test_a_tenants_publisher_submits_as_that_tenant_and_as_nobody_else(tmp_path):
    tenants = ("team-a", "team-b")
    users = [OPERATOR, *USERS, *(tenant_role(tenant).user for tenant in tenants)]
    [port] = free_ports(1)
    config = tmp_path / "nats.conf"
    config.write_text(
        f"listen: 127.0.0.1:{port}\n"
        f"jetstream {{ store_dir: {json.dumps(str(tmp_path / 'jetstream'))} }}\n"
        + authorization({user: f"word-of-{user}" for user in users}, tenants=tenants)
    )
    command = Command(
        name="nats",
        argv=(program("nats-server"), "--config", str(config)),
        log=tmp_path / "nats.log",
    )

    def of(user):
        return nats_settings(port, user, f"word-of-{user}")

    async with running(command):
        await nats_ready(of(OPERATOR))
        async with connected(of(OPERATOR), name="operator") as operator:
            await streams.ensure_topology(operator.jetstream())
            async with connected(of("publisher-team-a"), name="team-a") as team:
                await publish_once(team.jetstream(), streams.submit_subject("team-a"), b"mine")
                for tenant in ("", "team-b"):
                    # Refused without a word to JetStream; it is the count below that shows it.
                    with pytest.raises(nats.errors.TimeoutError):
                        await team.jetstream().publish(
                            streams.submit_subject(tenant), b"forged", timeout=0.5
                        )
            url = f"nats://publisher-team-a:word-of-publisher-team-a@127.0.0.1:{port}"
            async with AsyncClient("127.0.0.1:1", nats_url=url) as client:
                await client.batches.submit("team-a/b", [Problem(problem_id="p", question="?")])
            info = await operator.jetstream().stream_info(streams.BATCHES, subjects_filter=">")
            assert info.state.subjects == {"rstar.batches.submit.team-a": 2}


async def test_an_older_releases_streams_are_given_what_they_lack(tmp_path):
    async with nats_server(tmp_path) as settings, connected(settings, name="operator") as client:
        jetstream = client.jetstream()
        for stream in streams.STREAMS:
            config = stream.config(1)
            await jetstream.add_stream(config, subjects=[stream.subjects[0]])
        await streams.ensure_topology(jetstream)
        for stream in streams.STREAMS:
            known = (await jetstream.stream_info(stream.name)).config
            assert known.subjects == list(stream.subjects)
        # As an older release made it, and as it is now; then beside a tenant's it stays so.
        await jetstream.add_consumer(
            streams.WORK,
            ConsumerConfig(
                durable_name=streams.SEARCHERS,
                filter_subject=streams.WORK_ALL,
                ack_policy=AckPolicy.EXPLICIT,
                max_ack_pending=100_000,
            ),
        )
        for subject, held, wanted in (
            (EVERYTHING, 100_000, EVERYTHING),
            (streams.WORK_ALL, 9, streams.WORK_ALL),
            (EVERYTHING, 9, streams.WORK_ALL),
        ):
            await consumer_of(jetstream, subject, streams.SEARCHERS, held).open()
            made = await jetstream.consumer_info(streams.WORK, streams.SEARCHERS)
            assert (made.config.filter_subject or EVERYTHING, made.config.max_ack_pending) == (
                wanted,
                held,
            )
            if subject == streams.WORK_ALL:
                tenants = streams.work_subjects("team-a"), streams.searchers_of("team-a")
                await consumer_of(jetstream, *tenants, 9).open()


def consumer_of(jetstream, subject, durable, held):
    route = Route(stream=streams.WORK, durable=durable, filter_subject=subject, max_held=held)
    return Consumer(jetstream, None, route, None, None, concurrency=1)

"""What each service on one machine is told, and what it is not."""

from __future__ import annotations

import json
import os
import sys

from rstar_cli.batch import new_batch_id
from rstar_cli.local.credentials import nats_of, nats_password, store_of
from rstar_cli.local.nats import nats_settings
from rstar_cli.local.plan import connection_environment
from rstar_cli.local.process import Command, start
from rstar_cli.local.s3 import s3_settings
from rstar_common import nats_roles, store_roles
from rstar_common.nats_roles import OPERATOR, ROLES, USERS, authorization, inbox
from rstar_common.store_roles import IDENTITIES, StoreRole
from rstar_common.streams import JOURNAL, STREAMS

NATS = nats_settings(4222, OPERATOR, "the operator's word")
STORE = s3_settings(9000, "key", "the operator's secret")


def test_a_service_is_told_its_own_credentials_and_never_the_operator_s():
    told = {name: connection_environment(name, NATS, STORE) for name in USERS}
    for name, environment in told.items():
        text = json.dumps(environment)
        assert "the operator's" not in text
        assert environment[f"RSTAR_{name.upper()}_NATS__USER"] == name
    passwords = {nats_of(name, NATS).password.get_secret_value() for name in USERS}
    secrets = {store_of(name, STORE).secret_key.get_secret_value() for name in IDENTITIES}
    assert len(passwords | secrets) == len(USERS) + len(IDENTITIES)


def test_a_sandbox_is_told_of_neither_queue_nor_store():
    assert connection_environment("sandbox", NATS, STORE) == {}


def test_credentials_stay_as_long_as_the_operator_s_do():
    assert nats_password("a", "searcher") == nats_password("a", "searcher")
    assert nats_password("a", "searcher") != nats_password("b", "searcher")


def test_no_role_may_delete_or_change_a_stream_or_speak_to_all():
    for role in ROLES:
        for subject in role.publish:
            assert not any(verb in subject for verb in ("STREAM.DELETE", "STREAM.UPDATE"))
            assert subject not in (">", "*", "$JS.>", "$JS.API.>", "$KV.>")
        purges = {s.rpartition(".")[2] for s in role.publish if ".STREAM.PURGE." in s}
        assert purges <= {JOURNAL}
    assert {stream for role in ROLES for stream in role.makes} == {one.name for one in STREAMS}


def test_a_password_cannot_break_out_of_the_configuration():
    hostile = 'x"} {user: root, password: "y'
    text = authorization(dict.fromkeys((OPERATOR, *USERS), hostile))
    assert text.count(json.dumps(hostile)) == len(USERS) + 1
    assert text.count("user: root") == len(USERS) + 1  # each inside its quotes


def test_replies_to_services_come_where_no_publisher_listens():
    assert inbox("searcher") == "_REPLY.searcher"
    assert {inbox("publisher"), inbox("observer"), inbox("a team's own"), inbox("")} == {"_INBOX"}


def test_the_policy_document_says_what_the_actions_say():
    role = StoreRole(identity="x", reads=("in/",), writes=("out/",))
    actions = set(role.actions("b"))
    assert actions == {
        *("Read:b/probe/*", "Read:b/in/*", "Read:b/out/*", "Write:b/out/*"),
        *("List:b/probe/*", "List:b/in/*", "List:b/out/*"),
    }
    listing, reading, writing = role.policy("b")["Statement"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["probe/*", "in/*", "out/*"]}}
    arn = "arn:aws:s3:::b"
    assert reading["Resource"] == [f"{arn}/probe/*", f"{arn}/in/*", f"{arn}/out/*"]
    assert writing["Resource"] == [f"{arn}/out/*"]


def test_a_tenant_s_publisher_has_a_place_of_its_own_in_the_inbox_and_on_the_bus():
    role = store_roles.tenant_role("team-a")
    assert {one for one in role.actions("b") if not one.endswith("/probe/*")} == {
        f"{verb}:b/inbox/team-a/*" for verb in ("Read", "List", "Write")
    }
    bus = nats_roles.tenant_role("team-a")
    assert bus.publish == ["rstar.batches.submit.team-a"]
    assert bus.subscribe == ["_REPLY.publisher-team-a.>"]
    assert nats_roles.tenant_of(bus.user) == "team-a"
    assert nats_roles.tenant_of("publisher") == ""


async def test_what_a_caller_has_in_its_shell_reaches_no_service(tmp_path):
    mine = {"AWS_SECRET_ACCESS_KEY": "1", "NATS_URL": "2", "RSTAR_CLI_PEERS__TOKEN": "3"}
    os.environ.update(mine)
    try:
        program = "import os, json; print(json.dumps(sorted(os.environ)))"
        command = Command(name="p", argv=(sys.executable, "-c", program), log=tmp_path / "p.log")
        process = await start(command)
        assert await process.wait() == 0
    finally:
        for name in mine:
            del os.environ[name]
    assert not set(json.loads(command.log.read_text())) & set(mine)


def test_a_tenant_s_batches_are_named_as_its_own():
    assert new_batch_id("a problem", tenant="team-a").startswith("team-a/a-problem-")
    assert "/" not in new_batch_id("a problem")

"""Who may say and hear what on NATS: one table, from which every server's users are written.

    python -m rstar_common.nats_roles > infra/compose/nats-users.conf
    python -m rstar_common.nats_roles --tenant team-a --tenant team-b > nats-users.conf

A role names the streams, subjects and buckets of `streams` that a service needs; its
permissions follow from that, and everything else is refused by the server. Nobody but the
operator may delete a stream, change one, or read what another service keeps.

Replies to a service come back on `_REPLY.USER.>`, which only that user may hear. Publishers and
observers share `_INBOX.>`, the place of every client library; what comes there are receipts. A
tenant's user, `publisher-TENANT`, submits as that tenant and has an inbox of its own. The
sandbox has no role: it never speaks to NATS. What the table cannot say: whoever may make a
consumer on a stream names the subject to which the server then copies that stream's messages.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rstar_common.streams import (
    ATTEMPTS,
    BATCH_RECORDS,
    BATCH_SUBMIT,
    BATCHES,
    CHECKPOINT_PROMOTED,
    DEAD,
    DEAD_ALL,
    EVENTS,
    JOB_RECORDS,
    JOURNAL,
    JOURNAL_ALL,
    KEY_VALUES,
    POINTERS,
    RESULTS,
    RESULTS_ALL,
    RUN_RECORDS,
    SEARCH_ALL,
    SEARCH_COMPLETED,
    SEARCH_EVENTS_ALL,
    SEARCH_RECORDS,
    STREAMS,
    USAGE,
    WORK,
    WORK_ALL,
    WORK_OF_TENANTS,
    submit_subject,
)
from rstar_common.tenancy import check_tenant

OPERATOR = "rstar"
"""May do everything: sets up, backs up, repairs. No service uses it."""

TENANT_PREFIX = "publisher-"
"""Of the users and identities of tenants."""

_HAVE_REPLIES = frozenset({OPERATOR, "searcher", "trainer", "policy", "ppm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What one kind of client does on NATS."""

    user: str
    publishes: tuple[str, ...] = ()
    """Subjects."""

    hears: tuple[str, ...] = ()
    """Subjects, beside its own inbox."""

    makes: tuple[str, ...] = ()
    """Streams that it creates if they are missing."""

    watches: tuple[str, ...] = ()
    """Streams of which it may know how full they are."""

    reads: tuple[str, ...] = ()
    """Streams whose messages it fetches one by one."""

    counts: tuple[str, ...] = ()
    """Streams on which it makes consumers of its own, gone with it."""

    pulls: tuple[tuple[str, str], ...] = ()
    """Streams and the durable consumers it shares with its like; `*`: any of that stream."""

    purges: tuple[str, ...] = ()
    """Streams of which it removes all messages on a subject that is done with."""

    removes: tuple[str, ...] = ()
    """Streams of which it removes single messages."""

    buckets: tuple[str, ...] = ()
    """Buckets that it reads and writes, and creates if they are missing."""

    follows: tuple[str, ...] = ()
    """Buckets that it reads and watches, and creates if they are missing."""

    @property
    def publish(self) -> list[str]:
        """Every subject it may publish to, requests to JetStream included."""
        api = "$JS.API"
        kept = [f"KV_{bucket}" for bucket in (*self.buckets, *self.follows)]
        followed = [f"KV_{bucket}" for bucket in self.follows]
        allowed = list(self.publishes)
        allowed += [f"$KV.{bucket}.>" for bucket in self.buckets]
        for name in (*self.makes, *kept):
            allowed += [f"{api}.STREAM.INFO.{name}", f"{api}.STREAM.CREATE.{name}"]
        allowed += [f"{api}.STREAM.INFO.{name}" for name in self.watches]
        for name in (*self.reads, *kept):
            allowed += [
                f"{api}.STREAM.MSG.GET.{name}",
                f"{api}.DIRECT.GET.{name}",
                f"{api}.DIRECT.GET.{name}.>",
            ]
        for name in (*self.counts, *followed):
            allowed += [f"{api}.CONSUMER.CREATE.{name}", f"{api}.CONSUMER.DELETE.{name}.*"]
        for name in followed:
            allowed += [f"{api}.CONSUMER.INFO.{name}.*", f"$JS.FC.{name}.>"]
        for name, durable in self.pulls:
            allowed += [
                f"{api}.CONSUMER.INFO.{name}.{durable}",
                f"{api}.CONSUMER.CREATE.{name}.{durable}",
                f"{api}.CONSUMER.CREATE.{name}.{durable}.>",
                f"{api}.CONSUMER.MSG.NEXT.{name}.{durable}",
                f"$JS.ACK.{name}.{durable}.>",
            ]
        allowed += [f"{api}.STREAM.PURGE.{name}" for name in self.purges]
        allowed += [f"{api}.STREAM.MSG.DELETE.{name}" for name in self.removes]
        return list(dict.fromkeys(allowed))

    @property
    def subscribe(self) -> list[str]:
        """Every subject it may hear."""
        return [f"{inbox(self.user)}.>", *self.hears]


ROLES = (
    Role(
        user="searcher",
        publishes=(
            WORK_ALL,
            WORK_OF_TENANTS,
            RESULTS_ALL,
            DEAD_ALL,
            JOURNAL_ALL,
            SEARCH_ALL,
            SEARCH_COMPLETED,
        ),
        hears=(SEARCH_ALL,),
        makes=(BATCHES, WORK, RESULTS, DEAD, EVENTS, JOURNAL),
        reads=(RESULTS, DEAD, JOURNAL),
        counts=(RESULTS, DEAD),
        pulls=((BATCHES, "*"), (WORK, "*")),  # one of each tenant
        purges=(JOURNAL,),
        removes=(DEAD,),
        buckets=(BATCH_RECORDS, SEARCH_RECORDS, ATTEMPTS, USAGE),
    ),
    Role(
        user="trainer",
        publishes=(BATCH_SUBMIT, CHECKPOINT_PROMOTED),
        makes=(BATCHES, EVENTS),
        buckets=(POINTERS, JOB_RECORDS, RUN_RECORDS),
    ),
    Role(user="policy", follows=(POINTERS,)),
    Role(user="ppm", follows=(POINTERS,)),
    Role(user="publisher", publishes=(BATCH_SUBMIT,)),
    Role(
        user="observer",
        hears=("rstar.events.*", SEARCH_EVENTS_ALL),
        watches=(
            *(stream.name for stream in STREAMS),
            *(f"KV_{bucket.bucket}" for bucket in KEY_VALUES),
        ),
    ),
)

USERS = tuple(role.user for role in ROLES)


def role_of(user: str) -> Role:
    """The role of one of `USERS`."""
    return next(role for role in ROLES if role.user == user)


def tenant_role(tenant: str) -> Role:
    """A publisher who is one tenant and no other."""
    return Role(user=f"{TENANT_PREFIX}{tenant}", publishes=(submit_subject(tenant),))


def tenant_of(user: str) -> str:
    """As which tenant a user submits; empty for those who name none."""
    return user.removeprefix(TENANT_PREFIX) if user.startswith(TENANT_PREFIX) else ""


def inbox(user: str) -> str:
    """Where replies to `user` go; the client library's usual place for whoever is no service."""
    own = user in _HAVE_REPLIES or tenant_of(user)
    return f"_REPLY.{user}" if own else "_INBOX"


def authorization(
    passwords: Mapping[str, str], *, operator: str = OPERATOR, tenants: Sequence[str] = ()
) -> str:
    """The `authorization` block of a server's configuration, `operator` being OPERATOR's name.

    A password that begins with `$` names a variable of the server's environment.
    """
    lines = ["authorization {", "  users: ["]
    lines.append(f"    {{user: {json.dumps(operator)}, password: {_value(passwords[OPERATOR])}}}")
    for role in (*ROLES, *map(tenant_role, tenants)):
        lines += [
            f"    {{user: {role.user}, password: {_value(passwords[role.user])}, permissions: {{",
            f"      publish: {{allow: {_list(role.publish)}}}",
            f"      subscribe: {{allow: {_list(role.subscribe)}}}",
            "    }}",
        ]
    return "\n".join([*lines, "  ]", "}", ""])


def _value(password: str) -> str:
    return password if password.startswith("$") else json.dumps(password)


def _list(subjects: list[str]) -> str:
    return "[" + "".join(f"\n        {json.dumps(subject)}" for subject in subjects) + "\n      ]"


def variable(user: str) -> str:
    """The variable that holds a user's password where the environment brings it."""
    name = user.upper().replace("-", "_")
    return "NATS_PASSWORD" if user == OPERATOR else f"NATS_{name}_PASSWORD"


def main() -> None:
    """Write the users of a server that has its passwords in the environment."""
    parser = argparse.ArgumentParser(prog="python -m rstar_common.nats_roles")
    parser.add_argument("--tenant", action="append", default=[], help="repeatable")
    tenants = [check_tenant(name, field="--tenant") for name in parser.parse_args().tenant]
    users = (OPERATOR, *USERS, *(tenant_role(name).user for name in tenants))
    sys.stdout.write("# Written by `python -m rstar_common.nats_roles`; do not edit.\n")
    sys.stdout.write(authorization({user: f"${variable(user)}" for user in users}, tenants=tenants))


if __name__ == "__main__":
    main()

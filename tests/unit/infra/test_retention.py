"""The operators' table of what is kept for how long says what the code does, row for row."""

from __future__ import annotations

import re

from nats.js.api import KeyValueConfig

from rstar_common import store_roles, streams
from rstar_common.artifacts import PROBE
from tests.support.deployment import ROOT

DAY_SECONDS = 24 * 3600


def rows() -> dict[str, str]:
    """Where, and how long, as the table has it."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.split("## What is kept, and for how long")[1].split("\n## ")[0]
    found = re.findall(
        r"^\| (stream|bucket|prefix) `([^`]+)` \| [^|]+ \| ([^|]+) \|$", section, re.M
    )
    assert len({(kind, name) for kind, name, _ in found}) == len(found)
    return {f"{kind} {name}": kept for kind, name, kept in found}


def of_stream(stream: streams.Stream) -> str:
    """What a row has to begin with."""
    if stream.max_age_seconds:
        assert not stream.work_queue
        return f"{stream.max_age_seconds / DAY_SECONDS:g} days"
    if stream.work_queue:
        return "until done; one a problem" if stream.once_per_subject else "until taken in"
    if stream.once_per_subject:
        return "for good; one a problem"
    return "for good; the latest of each" if stream.latest_per_subject else "for good"


def of_bucket(bucket: KeyValueConfig) -> str:
    if bucket.ttl:
        return f"{bucket.ttl / DAY_SECONDS:g} days"
    return f"for good; the last {bucket.history} of each" if bucket.history > 1 else "for good"


def test_every_stream_and_bucket_is_kept_as_long_as_the_table_says() -> None:
    wanted = {f"stream {one.name}": of_stream(one) for one in streams.STREAMS}
    wanted |= {f"bucket {one.bucket}": of_bucket(one) for one in streams.KEY_VALUES}
    told = {where: kept for where, kept in rows().items() if not where.startswith("prefix")}
    assert told.keys() == wanted.keys()
    assert {where: kept for where, kept in told.items() if not kept.startswith(wanted[where])} == {}


def test_every_prefix_that_a_service_may_write_is_in_the_table() -> None:
    tops = {f"{prefix.split('/')[0]}/" for role in store_roles.ROLES for prefix in role.writes}
    told = {name.removeprefix("prefix ") for name in rows() if name.startswith("prefix")}
    assert told == tops | {PROBE}


def test_no_service_removes_an_object() -> None:
    # The table says so; a call that does it would have to be told of there.
    for path in (ROOT / "services").rglob("*.py"):
        assert not re.search(r"obstore\.delete|remove_objects?\(", path.read_text()), path

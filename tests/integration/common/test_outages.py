"""What fails because something is away is counted apart from what fails by itself."""

from __future__ import annotations

import pytest

from rstar_common.errors import Unavailable
from tests.support.consuming import consume_one


@pytest.mark.parametrize(
    ("failure", "buried"), [(Unavailable("NATS has no leader"), False), (KeyError("a bug"), True)]
)
async def test_an_outage_is_no_attempt_at_a_message(nats_settings, failure, buried):
    calls = 0

    async def handle(_msg):
        nonlocal calls
        calls += 1
        if calls == 1:
            raise failure

    dead = await consume_one(
        nats_settings, handle, until=lambda: calls == 2, max_attempts=1, max_outages=2
    )
    assert dead == ([(failure, 1)] if buried else [])

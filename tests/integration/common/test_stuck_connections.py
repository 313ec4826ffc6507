"""A service ends when its connection to NATS will not come back, and waits while NATS is away."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from rstar_cli.chaos.proxy import Proxy
from rstar_common import bus
from rstar_common.errors import Unavailable


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(bus, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr(bus, "STUCK_SECONDS", 0.3)


async def test_a_client_that_closed_itself_ends_the_service(nats_settings):
    async with bus.connected(nats_settings, name="test") as client:
        watching = asyncio.ensure_future(bus.watch(client, nats_settings)(asyncio.Event()))
        await client.close()
        with pytest.raises(Unavailable, match="given up"):
            await watching


async def test_a_client_that_does_not_connect_while_others_are_served_ends_the_service(
    nats_settings,
):
    port = urlsplit(nats_settings.servers[0]).port
    async with Proxy(port).serving() as proxy:
        near = nats_settings.model_copy(update={"servers": [f"nats://127.0.0.1:{proxy.port}"]})
        async with bus.connected(near, name="test") as client:
            stop = asyncio.Event()
            proxy.cut()
            away = asyncio.ensure_future(bus.watch(client, near)(stop))
            stuck = asyncio.ensure_future(bus.watch(client, nats_settings)(asyncio.Event()))
            with pytest.raises(Unavailable, match="others are served"):
                await stuck
            assert not away.done()  # nobody is served there: it is waited for
            stop.set()
            proxy.heal()
            await away


async def test_a_wrong_password_or_address_is_given_up_and_named(nats_settings, monkeypatch):
    monkeypatch.setattr(bus, "CONNECT_SECONDS", 1.0)
    for wrong in ({"password": SecretStr("wrong")}, {"servers": ["nats://127.0.0.1:9"]}):
        with pytest.raises(Unavailable, match=r"nats\.servers: cannot use"):
            async with bus.connected(nats_settings.model_copy(update=wrong), name="test"):
                raise AssertionError("it is connected")

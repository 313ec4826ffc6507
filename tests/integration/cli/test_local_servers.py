"""The third-party servers we start are real, private and gone afterwards."""

from __future__ import annotations

import asyncio

import nats
import pytest

from rstar_cli.local.nats import nats_command, nats_ready
from rstar_common.artifacts import ObjectStore
from rstar_common.errors import Conflict, NotFound
from tests.support.servers import STOP_SECONDS, nats_server, object_store


async def test_a_message_survives_a_restart_of_the_nats_server(tmp_path):
    async with nats_server(tmp_path) as settings:
        port = int(settings.servers[0].rpartition(":")[2])
        client = await connect(settings)
        await client.jetstream().add_stream(name="s", subjects=["s.>"])
        await client.jetstream().publish("s.a", b"kept")
        await client.close()
    async with nats_server(tmp_path, port=port) as settings:
        client = await connect(settings)
        message = await client.jetstream().get_last_msg("s", "s.a")
        assert message.data == b"kept"
        await client.close()


async def test_a_client_without_the_password_is_refused(nats_settings):
    host, _, port = nats_settings.servers[0].removeprefix("nats://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert (await reader.readline()).startswith(b"INFO ")
    writer.write(b"CONNECT {}\r\nPING\r\n")
    assert b"Authorization Violation" in await reader.readline()
    writer.close()
    await writer.wait_closed()


def test_the_nats_password_is_in_a_private_file_and_not_in_the_arguments(tmp_path):
    command = nats_command(tmp_path, port=4222, user="u", password="hidden-word")
    assert "hidden-word" not in " ".join(command.argv)
    assert (tmp_path / "nats.conf").stat().st_mode & 0o077 == 0


async def test_the_store_keeps_objects_and_refuses_to_create_twice(object_store_settings):
    store = ObjectStore(object_store_settings)
    await store.create("t/once", b"1")
    with pytest.raises(Conflict):
        await store.create("t/once", b"2")
    assert await store.get("t/once") == b"1"
    with pytest.raises(NotFound):
        await store.get("t/none")


async def test_objects_survive_a_restart_of_the_store(tmp_path):
    async with object_store(tmp_path, grace_seconds=STOP_SECONDS) as settings:
        await ObjectStore(settings).put("a", b"kept")
    async with object_store(tmp_path) as settings:
        assert await ObjectStore(settings).get("a") == b"kept"


async def connect(settings):
    await nats_ready(settings)
    return await nats.connect(
        settings.servers, user=settings.user, password=settings.password.get_secret_value()
    )

"""The proxy that chaos breaks networks with: each way of being broken, and whole again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from rstar_cli.chaos.proxy import Proxy
from rstar_cli.local.ports import HOST
from tests.support.eventually import eventually


async def test_what_is_sent_arrives_both_ways():
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        assert await echoed(reader, writer, b"there and back") == b"there and back"


async def test_a_cut_resets_connections_and_refuses_new_ones():
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        await echoed(reader, writer, b"whole")
        proxy.cut()
        assert await ended(reader)
        async with connected(proxy) as (other, _):
            assert await ended(other)
        proxy.heal()
        async with connected(proxy) as again:
            assert await echoed(*again, b"healed") == b"healed"


async def test_in_silence_nothing_passes_and_afterwards_everything_arrives():
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        await echoed(reader, writer, b"before")
        proxy.silence()
        writer.write(b"meanwhile")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)  # proving an absence needs a clock
        proxy.heal()
        assert await reader.readexactly(9) == b"meanwhile"


async def test_a_forgotten_connection_stays_dumb_and_a_new_one_works():
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        await echoed(reader, writer, b"before")
        proxy.forget()
        proxy.heal()
        writer.write(b"into the void")
        async with connected(proxy) as again:
            assert await echoed(*again, b"new") == b"new"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)  # proving an absence needs a clock


async def test_a_server_that_is_not_there_is_a_refused_connection():
    async with Proxy(1).serving() as proxy, connected(proxy) as (reader, _):
        assert await ended(reader)


async def test_the_server_sees_its_client_leave():
    left = asyncio.Event()

    async def serve(reader, writer):
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]).serving() as proxy:
        async with connected(proxy) as (_, writer):
            writer.write(b"short visit")
        await eventually(left.is_set)


@asynccontextmanager
async def proxied():
    async def echo(reader, writer):
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]).serving() as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: Proxy):
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def echoed(reader, writer, data: bytes) -> bytes:
    writer.write(data)
    return await reader.readexactly(len(data))


async def ended(reader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True

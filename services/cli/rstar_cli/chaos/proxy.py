"""A TCP proxy that can behave like a bad network: the only network that chaos touches.

    cut         connections are reset and new ones refused
    silent      nothing passes either way; what was sent arrives when it ends, as TCP has it
    forgotten   connections that exist carry nothing ever again; new ones work
    slow        every piece arrives late

`forgotten` is what a firewall or a load balancer does that lost its table: neither side is
told, and only who asks whether the other is there finds out.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rstar_cli.local.ports import HOST

PIECE_BYTES = 64 * 1024


class Proxy:
    """One listening port of ours before one port of somebody else."""

    def __init__(self, upstream: int) -> None:
        """Pass connections on to `upstream`, once `serving`."""
        self.port = 0
        self._upstream = upstream
        self._links: set[_Link] = set()
        self._refusing = False
        self._passing = asyncio.Event()
        self._passing.set()
        self._delay_seconds = 0.0

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Proxy]:
        """Listen on a free port for the length of the block."""
        carrying: set[asyncio.Task[None]] = set()

        def accept(reader: StreamReader, writer: StreamWriter) -> None:
            task = asyncio.create_task(self._carry(reader, writer))
            carrying.add(task)
            task.add_done_callback(carrying.discard)

        server = await asyncio.start_server(accept, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.heal()
            self.cut()
            await asyncio.gather(*carrying, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._refusing = True
        self._reset()

    def silence(self) -> None:
        """Let nothing pass; who connects hears nothing."""
        self._passing.clear()

    def forget(self) -> None:
        """Let nothing pass on the connections there are, for good."""
        for link in self._links:
            link.forgotten = True

    def slow(self, seconds: float) -> None:
        """Pass every piece on so much later."""
        self._delay_seconds = seconds

    def heal(self) -> None:
        """End what was begun; forgotten connections stay so."""
        self._refusing = False
        self._delay_seconds = 0.0
        self._passing.set()

    def _reset(self) -> None:
        for link in self._links:
            link.reset()

    async def _carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._upstream)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, far_writer))
                group.create_task(self._pump(link, far_reader, writer))
        finally:
            self._links.discard(link)

    async def _pump(self, link: _Link, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while data := await reader.read(PIECE_BYTES):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                await self._passing.wait()
                if not link.forgotten:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            link.close()


class _Link:
    """One connection and its other half."""

    def __init__(self, near: StreamWriter, far: StreamWriter) -> None:
        self._writers = (near, far)
        self.forgotten = False

    def reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

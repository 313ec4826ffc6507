"""Free loopback ports that stay free.

Ports are drawn from below the range the kernel hands to outgoing connections, so a port
that was chosen once and is kept in a state file is not taken by a passing client later.
"""

from __future__ import annotations

import asyncio
import secrets
import socket

from rstar_common.errors import Unavailable

HOST = "127.0.0.1"
LOWEST, HIGHEST = 10_240, 32_767
"""Above the well-known services, below Linux's default ephemeral range."""

_TRIES = 2_000
_POLL_SECONDS = 0.02


def free_ports(count: int) -> list[int]:
    """Choose `count` distinct ports that nobody listens on now.

    Raises:
        Unavailable: the machine seems to have none.
    """
    chosen: list[int] = []
    for _ in range(_TRIES):
        if len(chosen) == count:
            break
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST + 1)
        if port not in chosen and is_free(port):
            chosen.append(port)
    if len(chosen) < count:
        raise Unavailable(f"found no {count} free ports between {LOWEST} and {HIGHEST}")
    return chosen


def is_free(port: int) -> bool:
    """Whether one could listen on `port` of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


async def until_open(port: int) -> None:
    """Return once somebody accepts connections on `port`; bound it with a timeout."""
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            # A server that is not there yet has no event to wait on.
            await asyncio.sleep(_POLL_SECONDS)
        else:
            writer.close()
            await writer.wait_closed()
            return

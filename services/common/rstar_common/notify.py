"""Tells whoever started this process that it serves: systemd's protocol, which is one datagram.

The supervisor of a one-machine stack listens for it as systemd does for `Type=notify`: two
processes may share an address while one replaces the other, and health asked there would be
answered by either.
"""

from __future__ import annotations

import logging
import os
import socket

logger = logging.getLogger(__name__)

READY = b"READY=1"
SOCKET_VARIABLE = "NOTIFY_SOCKET"


def notify_ready() -> None:
    """Say so, if anybody asked to be told."""
    path = os.environ.get(SOCKET_VARIABLE, "")
    if not path:
        return
    if path.startswith("@"):  # Linux's abstract names
        path = "\0" + path[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        try:
            told.sendto(READY, path)
        except OSError as error:
            logger.warning("cannot tell %s that we serve: %s", SOCKET_VARIABLE, error)

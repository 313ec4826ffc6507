"""What the zygote and an interpreter talk through, and how the kernel vouches for who talks."""

from __future__ import annotations

import os
import socket
import struct

_CREDENTIALS = struct.Struct("3i")


def channel() -> tuple[socket.socket, socket.socket, int, int]:
    """Our end and theirs of the control socket; our end and theirs of the output pipe."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    stdout, write_end = os.pipe()
    os.set_blocking(stdout, False)
    return ours, theirs, stdout, write_end


def greeting(control: socket.socket, uid: int) -> int:
    """The pid of the process that greets us, as the kernel says; 0 when it is not of `uid`."""
    try:
        data, ancillary, _, _ = control.recvmsg(
            16, socket.CMSG_SPACE(_CREDENTIALS.size), socket.MSG_DONTWAIT
        )
    except OSError:
        return 0
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and data:
            pid, sender, _ = _CREDENTIALS.unpack(value)
            return pid if sender == uid else 0
    return 0

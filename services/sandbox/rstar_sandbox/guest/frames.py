"""What crosses the sandbox's wall: frames of a length and one JSON object.

Host and guest share this module. Each side reads the other's frames as data: the host checks
every field it takes from an answer, since a guest may have been overrun.
"""

from __future__ import annotations

import json
import struct
from typing import Any

LENGTH = struct.Struct("<I")

MAX_FRAME_BYTES = 32 * 2**20
"""A longer frame means that the other side is confused or hostile."""

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One frame."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """The object of one frame's body.

    Raises:
        ValueError: it is no JSON object, or too deep or too large to be one of ours.
    """
    try:
        message = json.loads(body)
    except RecursionError as error:
        raise ValueError("the frame is nested too deeply") from error
    if not isinstance(message, dict):
        raise ValueError("the frame is not an object")
    return message


class Reader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take what arrived; give the frames it completed.

        Raises:
            ValueError: the stream does not follow the protocol.
        """
        self._buffer += data
        messages = []
        while len(self._buffer) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            if len(self._buffer) < LENGTH.size + length:
                break
            messages.append(decode(bytes(self._buffer[LENGTH.size : LENGTH.size + length])))
            del self._buffer[: LENGTH.size + length]
        return messages

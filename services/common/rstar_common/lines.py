"""JSON lines of messages, equal in every process.

protobuf iterates over a map in an order that differs between processes, and so does its JSON.
Objects are named by the digest of their lines: who writes the same once more, after a restart,
must come to the same name.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message


def json_line(message: Message) -> str:
    """A message as JSON on one line without its end, keys sorted, fields named as in the proto."""
    return MessageToJson(message, preserving_proto_field_name=True, indent=None, sort_keys=True)


def json_lines(messages: Iterable[Message]) -> bytes:
    """A line each, in UTF-8."""
    return "".join(f"{json_line(message)}\n" for message in messages).encode()

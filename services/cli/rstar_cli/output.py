"""What the command writes: tables for people, one JSON value for scripts, one line for errors."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console

ResultT = TypeVar("ResultT")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Everything that moves a cursor, changes colours or reorders text; tab and newline stay."""


def plain(text: str) -> str:
    """Model-written text made harmless for a terminal: control characters become `�`."""
    return _CONTROL.sub("�", text)


def one_line(text: str, limit: int = 60) -> str:
    """As `plain`, on one line and cut."""
    line = " ".join(plain(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def console(*, stderr: bool = False) -> Console:
    """A rich console; markup is off because we show text that models wrote."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False)


def emit_json(value: object) -> None:
    """Write one JSON value, on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def as_json(message: Message) -> dict[str, Any]:
    """The proto3 JSON mapping of a message, with every field that is set."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True)


def run(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a command's coroutine, raising gRPC's errors as ours."""
    import asyncio

    import grpc

    from rstar_common.rpc import error_from_rpc

    try:
        return asyncio.run(work)
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error
    except KeyboardInterrupt:
        sys.stderr.write("\nrstar: interrupted\n")
        raise

"""What became of one run, and how an interpreter tells it.

The interpreter's own report is hostile data of a fixed shape: it can lie about its run, which
is the untrusted code's own affair, but it cannot be anything that fails to parse.
"""

from __future__ import annotations

import signal
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

MAX_TYPE_CHARACTERS = 200
MAX_MESSAGE_CHARACTERS = 1000

_HEADER = struct.Struct("<BIHI")


class Status(IntEnum):
    """How a run ended, as the interpreter says."""

    OK = 0
    RAISED = 1
    OUT_OF_MEMORY = 2
    PLAIN = 3
    """Ended well, and only plain code has ever run in this interpreter."""

    ABSTAINED = 4
    """Was not tried: it is not known to be plain."""

    UNDOABLE = 5
    """As PLAIN, and the interpreter remembers how to undo it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the interpreter says of a run. For a judgement, `message` is the reason."""

    status: int
    line: int = 0
    type: str = ""
    message: str = ""

    def pack(self) -> bytes:
        kind = self.type[:MAX_TYPE_CHARACTERS].encode(errors="replace")
        message = self.message[:MAX_MESSAGE_CHARACTERS].encode(errors="replace")
        line = self.line if 0 <= self.line < 2**31 else 0
        return _HEADER.pack(self.status, line, len(kind), len(message)) + kind + message

    @classmethod
    def unpack(cls, data: bytes) -> Report | None:
        """None when it is no report."""
        if len(data) < _HEADER.size:
            return None
        status, line, kind_length, message_length = _HEADER.unpack_from(data)
        middle = _HEADER.size + kind_length
        if len(data) != middle + message_length:
            return None
        return cls(
            status=status,
            line=line,
            type=data[_HEADER.size : middle].decode(errors="replace")[:MAX_TYPE_CHARACTERS],
            message=data[middle:].decode(errors="replace")[:MAX_MESSAGE_CHARACTERS],
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, as the zygote saw it."""

    stdout: bytes = b""
    truncated: bool = False
    report: Report | None = None
    limit: str = ""
    """Which limit ended it: wall, cpu, memory, output; empty for none."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def vanished(self) -> bool:
        """The process ended without a word and not by our hand."""
        return self.report is None and not self.limit

    @property
    def valid(self) -> bool:
        return (
            self.report is not None
            and self.report.status in (Status.OK, Status.PLAIN, Status.UNDOABLE)
            and not self.limit
        )

    @property
    def plain(self) -> bool:
        return self.report is not None and self.report.status in (Status.PLAIN, Status.UNDOABLE)

    @property
    def undoable(self) -> bool:
        return self.report is not None and self.report.status == Status.UNDOABLE

    @property
    def abstained(self) -> bool:
        return self.report is not None and self.report.status == Status.ABSTAINED

    def to_message(self) -> dict[str, Any]:
        """For the wire to the host."""
        message: dict[str, Any] = {
            "stdout": self.stdout.decode(errors="replace"),
            "truncated": self.truncated,
            "limit": self.limit,
            "wall": self.wall_seconds,
            "cpu": self.cpu_seconds,
        }
        if self.report and self.report.status == Status.RAISED:
            message["exception"] = [self.report.type, self.report.message, self.report.line]
        return message


def describe_death(status: int) -> Report:
    """What a step's process that ended by itself comes to."""
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return Report(Status.RAISED, type="ProcessKilled", message=f"killed by {name}")
    return Report(Status.RAISED, type="SystemExit", message=str(status))

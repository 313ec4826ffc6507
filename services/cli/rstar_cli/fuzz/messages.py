"""Random messages of any type, and bytes that are almost one. Pure and seeded."""

from __future__ import annotations

import struct
from random import Random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

MAX_DEPTH = 4
MAX_ITEMS = 3
MAX_TEXT = 200

_TEXTS = (
    "",
    "*",
    ">",
    "a.b",
    "../../etc/passwd",
    "\x00",
    "\u202e\U0001f600",
    "trees/none/x.pb",
    "policy",
    "ppm",
    "solve(",
    "9" * 400,
    "'; import os; os.system('id')",
)
_INTS = (0, 1, -1, 2, 7, 255, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e300, -1e300, float("nan"), float("inf"), float("-inf"))

_RANGES: dict[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def random_message(rng: Random, descriptor: Descriptor, *, depth: int = 0) -> Message:
    """A message that parses, with values nobody asked for."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if rng.random() < 0.4 or depth >= MAX_DEPTH:
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            continue  # a map is filled like any repeated field when bytes are spliced
        if field.is_repeated:
            items = getattr(message, field.name)
            for _ in range(rng.randint(0, MAX_ITEMS)):
                if field.message_type:
                    items.append(random_message(rng, field.message_type, depth=depth + 1))
                else:
                    items.append(_value(rng, field))
        elif field.message_type:
            inner = random_message(rng, field.message_type, depth=depth + 1)
            getattr(message, field.name).CopyFrom(inner)
        else:
            setattr(message, field.name, _value(rng, field))
    return message


def _value(rng: Random, field: FieldDescriptor) -> Any:
    kind = field.cpp_type
    if kind in _RANGES:
        low, high = _RANGES[kind]
        return min(high, max(low, rng.choice(_INTS)))
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return rng.choice(_FLOATS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice((0, 1, 2, 3, 77, -1))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.randbytes(rng.randint(0, MAX_TEXT))
    return random_text(rng)


def random_text(rng: Random) -> str:
    """Text of an enemy, or of nobody in particular."""
    if rng.random() < 0.5:
        return rng.choice(_TEXTS)
    return "".join(
        chr(rng.choice((rng.randint(1, 126), rng.randint(161, 0xD7FF))))
        for _ in range(rng.randint(1, MAX_TEXT))
    )


def broken_bytes(rng: Random, descriptor: Descriptor) -> bytes:
    """Bytes that are no message of this type, whatever they look like."""
    parse = message_factory.GetMessageClass(descriptor).FromString
    while True:
        data = _mutated(rng, random_message(rng, descriptor).SerializeToString())
        try:
            parse(data)
        except (DecodeError, UnicodeDecodeError):
            return data


def _mutated(rng: Random, data: bytes) -> bytes:
    match rng.randrange(5):
        case 0:
            return data[: rng.randrange(len(data) + 1)] + b"\x0a"
        case 1:
            return rng.randbytes(rng.randint(1, 400))
        case 2:  # a length that reaches beyond the end
            return data + b"\x0a" + struct.pack("<I", rng.randrange(2**31) | 0x80808080) + b"\x07"
        case 3:  # groups that never end, nested deep
            return data + b"\x0b" * rng.randint(1, 5000)
        case _:
            spoiled = bytearray(data or b"\x0a")
            for _ in range(rng.randint(1, 8)):
                spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
            return bytes(spoiled) + b"\xff"

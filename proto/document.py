"""Writes docs/api.md from the protos and their comments; `--check` fails if it differs.

The comments are the reference: what is not said there is said nowhere. Services come first,
then every message and enum in the order of its file.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc_tools  # type: ignore[import-untyped]  # it has no stubs
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
TARGET = PROTO.parent / "docs" / "api.md"
PACKAGE = ".rstar.v1."

INTRODUCTION = """\
# API reference

Generated from `proto/rstar/v1` by `proto/document.py`; do not edit. Package `rstar.v1`.

A failed call carries a `Failure` as status detail. Batches are published on NATS as
`BatchSubmission`, in the proto3 JSON mapping or as protobuf bytes.
"""

_FIELD = DescriptorProto.FIELD_FIELD_NUMBER
_NESTED = DescriptorProto.NESTED_TYPE_FIELD_NUMBER
_MESSAGES = FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER
_ENUMS = FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER
_SERVICES = FileDescriptorProto.SERVICE_FIELD_NUMBER
_METHODS = ServiceDescriptorProto.METHOD_FIELD_NUMBER
_VALUES = EnumDescriptorProto.VALUE_FIELD_NUMBER

Kind = FieldDescriptorProto.Type


class Comments:
    """The comment before each thing of one file, by its path in the descriptor."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._by_path = {
            tuple(location.path): " ".join(location.leading_comments.split())
            for location in file.source_code_info.location
        }

    def __call__(self, *path: int) -> str:
        return self._by_path.get(path, "")


def main() -> None:
    """Write or check the reference."""
    text = reference(parsed(PROTO))
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit("docs/api.md is stale: run make proto")


def parsed(root: Path) -> list[FileDescriptorProto]:
    """Every proto below `root`, comments included, in order of name."""
    names = sorted(str(path.relative_to(root)) for path in root.glob("rstar/v1/*.proto"))
    includes = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "set"
        arguments = [f"-I{root}", f"-I{includes}", "--include_source_info"]
        if protoc.main(["protoc", *arguments, f"--descriptor_set_out={out}", *names]):
            raise SystemExit("protoc failed")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def reference(files: Sequence[FileDescriptorProto]) -> str:
    """The whole document."""
    parts = [INTRODUCTION, "## Services\n"]
    for file in files:
        comments = Comments(file)
        for index, service in enumerate(file.service):
            parts.append(_service(service, index, comments))
    for file in files:
        comments = Comments(file)
        parts.append(f"## `{file.name}`\n")
        for index, message in enumerate(file.message_type):
            parts.extend(_message(message, (_MESSAGES, index), comments))
        for index, enum in enumerate(file.enum_type):
            parts.append(_enum(enum, index, comments))
    return "\n".join(parts)


def _service(service: ServiceDescriptorProto, index: int, comments: Comments) -> str:
    path = (_SERVICES, index)
    lines = [f"### {service.name}\n"]
    if said := comments(*path):
        lines.append(f"{said}\n")
    lines += ["| call | request | reply | |", "|---|---|---|---|"]
    for number, method in enumerate(service.method):
        said = comments(*path, _METHODS, number)
        lines.append(f"| `{method.name}` | {_request(method)} | {_reply(method)} | {_cell(said)} |")
    return "\n".join(lines) + "\n"


def _request(method: MethodDescriptorProto) -> str:
    return ("stream of " if method.client_streaming else "") + _link(method.input_type)


def _reply(method: MethodDescriptorProto) -> str:
    return ("stream of " if method.server_streaming else "") + _link(method.output_type)


def _message(message: DescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    lines = [f"### {message.name}\n"]
    if said := comments(*path):
        lines.append(f"{said}\n")
    if message.field:
        lines += ["| # | field | type | |", "|---|---|---|---|"]
    else:
        lines.append("No fields.")
    maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    for index, field in enumerate(message.field):
        said = comments(*path, _FIELD, index)
        if field.HasField("oneof_index") and not field.proto3_optional:
            group = message.oneof_decl[field.oneof_index].name
            said = f"One of `{group}`. {said}"
        lines.append(
            f"| {field.number} | `{field.name}` | {_type(field, maps)} | {_cell(said.strip())} |"
        )
    yield "\n".join(lines) + "\n"
    for index, nested in enumerate(message.nested_type):
        if nested.name not in maps:
            yield from _message(nested, (*path, _NESTED, index), comments)


def _enum(enum: EnumDescriptorProto, index: int, comments: Comments) -> str:
    lines = [f"### {enum.name}\n"]
    if said := comments(_ENUMS, index):
        lines.append(f"{said}\n")
    lines += ["| # | value | |", "|---|---|---|"]
    for number, value in enumerate(enum.value):
        said = comments(_ENUMS, index, _VALUES, number)
        lines.append(f"| {value.number} | `{value.name}` | {_cell(said)} |")
    return "\n".join(lines) + "\n"


def _type(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry:
        key, value = entry.field
        return f"map of {_scalar(key)} to {_scalar(value)}"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {_scalar(field)}"
    return f"optional {_scalar(field)}" if field.proto3_optional else _scalar(field)


def _scalar(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _link(field.type_name)
    return f"`{Kind.Name(field.type).removeprefix('TYPE_').lower()}`"


def _link(type_name: str) -> str:
    if not type_name.startswith(PACKAGE):
        return f"`{type_name.rpartition('.')[2]}`"
    name = type_name.removeprefix(PACKAGE)
    return f"[{name}](#{name.lower()})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()

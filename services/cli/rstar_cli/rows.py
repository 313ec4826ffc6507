"""Rows of data files as they are published: Parquet, one JSON array, or JSON lines.

    .parquet         read a few thousand rows at a time
    anything else    JSON, gzipped if it ends in .gz; an array if it begins with a bracket (some
                     sets call JSON lines `.json`)

A file is data and nothing else: no loading script is run. What rows mean is for others to say.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rstar_common.errors import InvalidInput, Unavailable

Row = Mapping[str, Any]

ROWS_AT_ONCE = 4096
"""Rows of a Parquet file in memory: those of NuminaMath are some kilobytes each."""

_LOOKED_AT = 1024
"""Characters in which the first that is no space must stand."""

_PART = re.compile(r"(?P<before>.*)-\d{5}-of-(?P<count>\d{5})(?P<after>\D*)")


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of one file, in order.

    Raises:
        InvalidInput: it cannot be read, naming it and the row or line at fault.
        Unavailable: it is Parquet, and pyarrow is not installed.
    """
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    with _opened(path) as file:
        array = file.read(_LOOKED_AT).lstrip().startswith("[")
        file.seek(0)
        for where, row in _array(file, path) if array else _lines(file, path):
            if not isinstance(row, dict):
                raise InvalidInput("not a JSON object", field=where)
            yield row


def parts(path: Path) -> list[Path]:
    """Every file of a set that was cut into several, `train-00000-of-00005.parquet` and so on.

    Any of them stands for all; a file of another name stands for itself.

    Raises:
        InvalidInput: one of them is missing.
    """
    named = _PART.fullmatch(path.name)
    if not named:
        return [path]
    found = [
        path.with_name(f"{named['before']}-{number:05}-of-{named['count']}{named['after']}")
        for number in range(int(named["count"]))
    ]
    for part in found:
        if not part.is_file():
            raise InvalidInput(f"{part.name} is not beside it", field=str(path))
    return found


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise Unavailable("needs pyarrow: pip install 'rstar-math[eval]'") from error
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise InvalidInput(f"cannot read: {error}", field=str(path)) from error


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8") as file:
                yield file
        else:
            with path.open(encoding="utf-8") as file:
                yield file
    except OSError as error:  # without its own mention of the path
        raise InvalidInput(f"cannot read: {error.strerror or error}", field=str(path)) from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read: {error}", field=str(path)) from error


def _array(file: TextIO, path: Path) -> Iterator[tuple[str, object]]:
    try:
        rows = json.load(file)
    except ValueError as error:
        raise InvalidInput(f"not JSON: {error}", field=str(path)) from error
    for number, row in enumerate(rows):
        yield f"{path}[{number}]", row


def _lines(file: TextIO, path: Path) -> Iterator[tuple[str, object]]:
    # Not `splitlines`: a string within a line may hold a separator of paragraphs.
    for number, text in enumerate(file, start=1):
        if not text.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"not JSON: {error}", field=where) from error
        yield where, row

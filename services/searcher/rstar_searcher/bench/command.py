"""The frame of the bench's commands: options from the module's text, one JSON line to the end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping

from rstar_searcher.bench.machine import machine


def command_line(module: str, text: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the docstring of `rstar_searcher.bench.MODULE`."""
    return argparse.ArgumentParser(
        prog=f"python -m rstar_searcher.bench.{module}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def print_line(benchmark: str, report: Mapping[str, object]) -> None:
    """Print what was measured and the machine."""
    sys.stdout.write(json.dumps({"benchmark": benchmark, "machine": machine(), **report}) + "\n")

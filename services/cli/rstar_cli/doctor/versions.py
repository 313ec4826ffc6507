"""Whether what is installed is what this version was made for."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from rstar_cli.doctor.finding import Finding, fault, faults_or
from rstar_cli.local.process import program
from rstar_common.errors import Unavailable

CHECK = "versions"
DISTRIBUTION = "rstar-math"
LEAST_PYTHON = (3, 11)

SERVERS = {
    "nats-server": (("--version",), (2, 10)),  # streams that refuse a second message a subject
    "weed": (("version",), (4, 0)),
}
"""Programs of the one-machine stack: how they are asked, and the least version."""

_SECONDS = 20.0
_NUMBERS = re.compile(r"v?(\d+)\.(\d+)")


def check() -> list[Finding]:
    """Python, packages, and the servers of the one-machine stack."""
    found = [*_python(), *_packages(), *_servers()]
    version = metadata.version(DISTRIBUTION)
    python = ".".join(map(str, sys.version_info[:3]))
    return faults_or(found, CHECK, f"{DISTRIBUTION} {version}, Python {python}, packages, servers")


def _python() -> list[Finding]:
    if sys.version_info[:2] >= LEAST_PYTHON:
        return []
    least = ".".join(map(str, LEAST_PYTHON))
    return [fault(CHECK, f"Python {sys.version.split()[0]}", f"use Python {least} or newer")]


def _packages() -> list[Finding]:
    found = []
    for text in metadata.requires(DISTRIBUTION) or ():
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        # The base, and what this command itself needs; a service checks its own at its start.
        if wanted.marker and not wanted.marker.evaluate({"extra": "cli"}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            version = "missing"
        if version == "missing" or not wanted.specifier.contains(version, prereleases=True):
            found.append(
                fault(
                    CHECK,
                    f"{wanted.name} is {version}, needed is {wanted.specifier or 'any'}",
                    f"pip install '{wanted.name}{wanted.specifier}'",
                )
            )
    return found


def _servers() -> list[Finding]:
    found = []
    for name, (arguments, least) in SERVERS.items():
        try:
            line = _answer(program(name), *arguments)
        except Unavailable as error:
            found.append(fault(CHECK, f"{name} is not installed", str(error).partition("; ")[2]))
            continue
        if too_old(line, least):
            wanted = ".".join(map(str, least))
            found.append(
                fault(
                    CHECK,
                    f"{name} says {line[:60]!r}, needed is {wanted} or newer",
                    "pip install 'rstar-math[cli]'",
                )
            )
    return found


def too_old(line: str, least: tuple[int, int]) -> bool:
    """Whether a program that says `line` of itself is older than `least`, or says nothing."""
    numbers = [tuple(map(int, pair)) for pair in _NUMBERS.findall(line)]
    return not numbers or max(numbers) < least


def _answer(*command: str) -> str:
    """The first line a program says of itself; empty if it cannot be run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).partition("\n")[0]

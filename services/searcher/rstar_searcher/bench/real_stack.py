"""A stack that `rstar up` started, as seen through the command line alone."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from pathlib import Path

from rstar_common.errors import Unavailable
from rstar_common.processes import HOST, installed_program

METRICS_SECONDS = 5.0


async def rstar(*arguments: str) -> str:
    """What `rstar ARGUMENTS` prints; RSTAR_HOME says on which stack.

    Raises:
        Unavailable: with what it said instead.
    """
    child = await asyncio.create_subprocess_exec(
        installed_program("rstar"), *arguments, stdout=PIPE, stderr=PIPE
    )
    printed, said = await child.communicate()
    # `status` ends with 1 while one unit is not healthy, and still prints all of them.
    if child.returncode and not printed.strip():
        raise Unavailable(f"rstar {arguments[0]}: {said.decode()[-500:].strip()}")
    return printed.decode()


async def pids(kinds: Sequence[str]) -> dict[str, int]:
    """Processes of the units of these kinds that are healthy now, by name."""
    units: list[Mapping[str, object]] = json.loads(await rstar("status", "--json"))["units"]
    return {
        name: unit["pid"]
        for unit in units
        if unit["state"] == "serving" and isinstance(unit["pid"], int)
        for name in [str(unit["name"])]
        if name.rstrip("0123456789") in kinds
    }


def problems_at(path: Path, count: int) -> list[dict[str, str]]:
    """So many problems of a file, spread evenly, under short ids and without their answers."""
    lines = path.read_text().splitlines()
    chosen = lines[:: max(1, len(lines) // count)][:count]
    return [
        {"id": f"n{n}", "question": json.loads(line)["question"]} for n, line in enumerate(chosen)
    ]


class Metrics:
    """What one service tells Prometheus."""

    def __init__(self, kind: str) -> None:
        """The only unit of a kind, of the stack that RSTAR_HOME names."""
        state = json.loads((Path(os.environ["RSTAR_HOME"]) / "state.json").read_text())
        self._url = f"http://{HOST}:{state['ports'][f'{kind}_metrics']}/metrics"

    async def value(self, name: str) -> float:
        """A gauge without labels, as it is now."""
        text = await asyncio.to_thread(self._read)
        line = next(line for line in text.splitlines() if line.startswith(f"{name} "))
        return float(line.rpartition(" ")[2])

    def _read(self) -> str:
        with urllib.request.urlopen(self._url, timeout=METRICS_SECONDS) as reply:  # noqa: S310 ours
            return str(reply.read(), "utf-8")

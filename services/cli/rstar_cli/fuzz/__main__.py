"""Attack a system of its own with generated calls and messages; print one JSON line.

    python -m rstar_cli.fuzz --inputs 100000

Starts every service with certificates, tokens and a NATS user each, in a directory that is
removed afterwards. Exit status 1: something was let in, crashed, or answered INTERNAL.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from rstar_cli.authority import Authority
from rstar_cli.fuzz.callers import Callers
from rstar_cli.fuzz.calls import Findings, Wires, call_wrongly, wrong_calls
from rstar_cli.fuzz.subjects import publish_nonsense, publish_wrongly, queues_empty, strangers
from rstar_cli.fuzz.system import SecuredSystem, channels, secured_system, serving
from rstar_cli.local.exposure import exposures
from rstar_cli.machine import machine
from rstar_cli.output import emit_json

SUBJECT_SHARE = 0.3
NONSENSE_SHARE = 0.03
CONNECTION_SHARE = 0.01
AT_ONCE = 64
BUG_WORDS = ("Traceback", "bug while serving", "internal error", "panic")


async def attack(home: Path, *, inputs: int, seed: int) -> dict[str, Any]:
    """Start a system in `home`, attack it, and say what came of it."""
    findings = Findings()
    strange = Authority.create(home / "strangers")
    began = time.monotonic()
    async with secured_system(home) as system:
        started = time.monotonic()
        await _attack(system, strange, findings, seed, inputs=inputs)
        seconds = time.monotonic() - started
        await queues_empty(system.state.nats)
        await serving(system, seconds=60)
        restarts = {name: count for name, count in system.restarts().items() if count}
        bugs = system.logged(*BUG_WORDS)
        shown = exposures(system.home, system.state, system.secrets())
    return {
        "bench": "fuzz",
        "inputs": findings.inputs.total(),
        "seed": seed,
        "kinds": dict(findings.inputs),
        "answers": dict(sorted(findings.answers.items())),
        "unexpected": findings.unexpected_count,
        "unexpected_examples": findings.unexpected,
        "restarts": restarts,
        "bugs_logged": len(bugs),
        "bug_examples": bugs[:10],
        "secrets_shown": shown,
        "start_seconds": round(started - began, 1),
        "attack_seconds": round(seconds, 1),
        "machine": machine(),
    }


async def _attack(
    system: SecuredSystem, strange: Authority, findings: Findings, seed: int, *, inputs: int
) -> None:
    nats = system.state.nats
    wrong = wrong_calls(Callers(system.authority, strange, Random(seed)), Random(seed + 1))
    connections = int(inputs * CONNECTION_SHARE)
    nonsense = int(inputs * NONSENSE_SHARE)
    subjects = int(inputs * SUBJECT_SHARE)
    calls = inputs - connections - nonsense - subjects
    async with channels(system) as wires, asyncio.TaskGroup() as group:
        group.create_task(
            call_wrongly(Wires(wires), wrong, findings, inputs=calls, at_once=AT_ONCE)
        )
        group.create_task(publish_wrongly(nats, findings, Random(seed + 2), inputs=subjects))
        group.create_task(publish_nonsense(nats, findings, Random(seed + 3), inputs=nonsense))
        group.create_task(strangers(nats, findings, inputs=connections))


def main() -> int:
    """Parse, attack, report."""
    parser = argparse.ArgumentParser(prog="python -m rstar_cli.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, help="keep logs here; must not exist yet")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rstar-fuzz-") as scratch:
        home = options.home or Path(scratch) / "home"
        report = asyncio.run(attack(home.resolve(), inputs=options.inputs, seed=options.seed))
    emit_json(report)
    faults = ("unexpected", "restarts", "bugs_logged", "secrets_shown")
    return 1 if any(report[fault] for fault in faults) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs both parts. One JSON line; the exit status is 1 if anything was lost, crossed or grew."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from random import Random
from typing import Any

from rstar_sandbox.bench.figures import summary
from rstar_sandbox.soak.callers import Tally, connection, crowd, execute, fullest, snippets
from rstar_sandbox.soak.server import Server, server
from rstar_sandbox.soak.snippets import Snippet, printed

CHUNK = 500
"""Snippets between two looks at what the server holds."""

SETTLE_SECONDS = 2.0
"""Before each look: sandboxes sweep once a second, and what has ended takes a moment to be gone."""

GROWTH = 1.1
"""More than this, and `SLACK` besides, is a leak: medians of the last quarter of the looks and the
first, which begins after the first `CHUNK`. Parked interpreters vary from look to look."""

SLACK = 16
"""MiB, processes, open files."""

FINAL_CALLS = 16


def grown(states: list[dict[str, int]]) -> list[str]:
    """What there is more of at the end than after the warm-up."""
    quarter = max(1, len(states) // 4)

    def middle(name: str, part: list[dict[str, int]]) -> float:
        return statistics.median(state[name] for state in part)

    return [
        name
        for name in states[0]
        if middle(name, states[-quarter:]) > GROWTH * middle(name, states[:quarter]) + SLACK
    ]


async def soak(arguments: argparse.Namespace) -> dict[str, Any]:
    """Both parts, on a server of their own."""
    async with server(arguments.platform, parked=arguments.parked) as running:
        mixed = await _mixed(running, arguments)
        many = await _many(running, arguments)
        last = Tally()
        async with connection(running.address) as stub:
            final = Snippet("final", "print('healthy')", printed("healthy\n"))
            for number in range(FINAL_CALLS):
                await execute(stub, last, f"final-{number}", (), [final])
    return {
        "benchmark": "sandbox-soak",
        "machine": {"cores": os.cpu_count(), "kernel": platform.release()},
        "snippets": mixed,
        "clients": many,
        "healthy_at_the_end": last.counts["final"] == FINAL_CALLS and not last.wrong,
    }


async def _mixed(running: Server, arguments: argparse.Namespace) -> dict[str, Any]:
    tally, rng, started = Tally(), Random(arguments.seed), time.monotonic()
    states: list[dict[str, int]] = []
    left = arguments.snippets
    await fullest(running.address, tally)
    while left > 0:
        await snippets(running.address, rng, min(CHUNK, left), tally)
        left -= CHUNK
        await asyncio.sleep(SETTLE_SECONDS)
        states.append(running.state())
        sys.stderr.write(f"{arguments.snippets - max(left, 0)} steps: {states[-1]}\n")
    return {
        "seconds": round(time.monotonic() - started, 1),
        "counts": dict(tally.counts),
        f"each_{CHUNK}": {name: [state[name] for state in states] for name in states[0]}
        if states
        else {},
        "grew": grown(states) if states else [],
        "wrong_count": len(tally.wrong),
        "wrong": tally.wrong[:10],
    }


async def _many(running: Server, arguments: argparse.Namespace) -> dict[str, Any]:
    tally, before = Tally(), running.state()
    answered = await crowd(running.address, arguments.clients, 60 * arguments.minutes, tally)
    return {
        "clients": arguments.clients,
        "minutes": arguments.minutes,
        "counts": dict(tally.counts),
        "answered_of_a_client": {"least": min(answered), "most": max(answered)},
        "answered_calls": summary(tally.milliseconds),
        "before": before,
        "after": running.state(),
        "wrong_count": len(tally.wrong),
        "wrong": tally.wrong[:10],
    }


def main() -> None:
    """Soak, print, end."""
    parser = argparse.ArgumentParser(
        prog="python -m rstar_sandbox.soak", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--snippets", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the clients call")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--platform", default="", help="systrap or ptrace; empty measures")
    parser.add_argument(
        "--parked",
        type=int,
        default=2,
        help="interpreters each sandbox keeps: with few, what they hold hides no leak; "
        "0: the service's default",
    )
    report = asyncio.run(soak(parser.parse_args()))
    sys.stdout.write(json.dumps(report) + "\n")
    parts = report["snippets"], report["clients"]
    failed = any(part["wrong_count"] or part.get("grew") for part in parts)
    sys.exit(failed or not report["healthy_at_the_end"])


if __name__ == "__main__":
    main()

"""`python -m rstar_searcher.bench.real_kills`: as `kills`, on the real engine.

    rstar up --searchers 2 && python -m rstar_searcher.bench.real_kills; rstar down

Problems of a file are one batch of the running stack, several trees each, one rollout of a
tree at a time, one seed. Every 90 s one searcher, policy (its engine dies with it), PPM,
sandbox or NATS, by chance, gets SIGKILL; the stack's supervisor starts it again. However fast
the machine, fewer than three kills would show little: then the same problems are searched
again with the next seed. One JSON line tells whether every problem of every batch has exactly
one result. With `--undisturbed` the batches are then searched again and nobody dies: how many
answers and costs are equal. Sampling on an engine that batches is not promised to repeat itself
bit by bit, so that figure is told and is no goal; nor can it be where wall time ends a search.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from rstar_common.errors import Unavailable
from rstar_searcher.bench.command import command_line, print_line
from rstar_searcher.bench.real_stack import pids, problems_at, rstar

KINDS = ("searcher", "policy", "ppm", "sandbox", "nats")
LEAST_KILLS = 3
MOST_BATCHES = 10
FIRST_SEED = 7
SEARCH_SHARE = 0.9
"""Of the limit: what one search may take, so that even a late one is told before the run ends."""

POLL_SECONDS = 5.0
"""Each look is a program of its own."""


async def searched(
    problems: Path, *, settings: Sequence[str], limit: float
) -> tuple[str, Mapping[str, Any], float]:
    """Search a batch to its end; its id, its counts and how long it took."""
    batch_id = f"real-{secrets.token_hex(4)}"
    started = time.perf_counter()
    await rstar("submit", str(problems), "--batch", batch_id, *settings)
    counts: Mapping[str, Any] = {}
    while time.perf_counter() - started < limit:
        with suppress(Unavailable, ValueError):  # what would tell is dead now
            batches = json.loads(await rstar("batches", "--json"))
            counts = next(batch for batch in batches if batch["batch_id"] == batch_id)
            if counts["state"] == "BATCH_STATE_DONE":
                break
        await asyncio.sleep(POLL_SECONDS)
    return batch_id, counts, time.perf_counter() - started


async def kill_every(seconds: float, rng: Random, kills: Counter[str]) -> None:
    """SIGKILL to one that serves: first a kind is drawn, then one of it."""
    while True:
        await asyncio.sleep(seconds)
        with suppress(Unavailable, ProcessLookupError):
            living = await pids(KINDS)
            kind = rng.choice(sorted({name.rstrip("0123456789") for name in living}))
            name = rng.choice(sorted(name for name in living if name.startswith(kind)))
            os.kill(living[name], signal.SIGKILL)
            kills[kind] += 1


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """Search under fire; see the module."""
    kills: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="rstar-bench-") as directory:
        file = Path(directory) / "problems.jsonl"
        problems = problems_at(options.problems_file, options.problems)
        file.write_text("\n".join(map(json.dumps, problems)))
        killing = asyncio.ensure_future(kill_every(options.every, Random(options.seed), kills))
        try:
            batches = await _searched_until(
                lambda: sum(kills.values()) >= LEAST_KILLS, file, options
            )
        finally:
            killing.cancel()
            await asyncio.wait([killing])
        told = [await results_of(batch_id) for batch_id, _, _ in batches]
        results = [each for one in told for each in one]
        single = [
            sum(n == 1 for n in Counter(r["problem_id"] for r in one).values()) for one in told
        ]
        whole = len(results) == sum(single) == len(problems) * len(batches)
        report: dict[str, object] = {
            "problems": len(problems),
            "batches": len(batches),
            "trees": options.trees,
            "rollouts": options.rollouts,
            "candidates": options.candidates,
            "seconds": round(sum(took for _, _, took in batches), 1),
            "kill_every_seconds": options.every,
            "kills": sum(kills.values()),
            "killed": dict(kills),
            "results": len(results),
            "problems_with_exactly_one_result": sum(single),
            "endings": dict(Counter(each["ended_by"] for each in results)),
            "dead_letters": sum(counts.get("dead", 0) for _, counts, _ in batches),
            "expansions": _expansions(results),
            "goal_met": whole and sum(kills.values()) >= LEAST_KILLS,
        }
        if options.undisturbed:
            again = await _searched_until(lambda: True, file, options, batches=len(batches))
            peaceful = [each for batch_id, _, _ in again for each in await results_of(batch_id)]
            first, second = _outcomes(results), _outcomes(peaceful)
            report["undisturbed"] = {
                "seconds": round(sum(took for _, _, took in again), 1),
                "expansions": _expansions(peaceful),
                "same_answer_and_tokens": (first & second).total(),
            }
    return report


async def _searched_until(
    enough: Callable[[], bool], problems: Path, options: argparse.Namespace, *, batches: int = 1
) -> list[tuple[str, Mapping[str, Any], float]]:
    """So many batches at least, one after another, each with a seed of its own."""
    size = f"--rollouts {options.rollouts} --candidates {options.candidates}"
    size += f" --trees {options.trees} --parallel 1 --timeout {SEARCH_SHARE * options.limit}"
    done: list[tuple[str, Mapping[str, Any], float]] = []
    while len(done) < batches or (not enough() and len(done) < MOST_BATCHES):
        settings = [*size.split(), "--seed", str(FIRST_SEED + len(done))]
        done.append(await searched(problems, settings=settings, limit=options.limit))
    return done


async def results_of(batch_id: str) -> list[dict[str, Any]]:
    """The results of a batch that has ended."""
    while True:
        try:
            return [json.loads(line) for line in (await rstar("results", batch_id)).splitlines()]
        except Unavailable:  # whoever was killed last is not back yet
            await asyncio.sleep(POLL_SECONDS)


def _expansions(results: Sequence[Mapping[str, Any]]) -> int:
    return sum(int(each["cost"].get("expansions", 0)) for each in results)


def _outcomes(results: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, str, str]]:
    return Counter(
        (each["problem_id"], str(each["answer"]), str(each["cost"].get("generated_tokens")))
        for each in results
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, end."""
    parser = command_line("real_kills", __doc__)
    parser.add_argument("--problems-file", type=Path, default=Path("data/dm_math/heldout.jsonl"))
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--trees", type=int, default=4, help="of a problem")
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--every", type=float, default=90.0, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=1, help="of the kills")
    parser.add_argument("--limit", type=float, default=1_800.0, help="seconds until given up")
    parser.add_argument("--undisturbed", action="store_true", help="search once more in peace")
    report = asyncio.run(measure(parser.parse_args(arguments)))
    print_line("search under kills, real engine", report)


if __name__ == "__main__":
    main()

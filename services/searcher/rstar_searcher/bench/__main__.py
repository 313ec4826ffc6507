"""`python -m rstar_searcher.bench`: the searcher's benchmarks as one JSON line.

    core       expansions a second of the search core alone; memory of a node
    grpc       a searcher process with real NATS and S3 against instant services over gRPC
    schedule   wall-clock on the simulated engine beside ideal and lock-step schedules
    parallel   time against right answers as rollouts of one tree run at once
    early      the same as hopeless siblings are ended early, and the curve
    solved     the share of problems solved as rollouts of one tree run at once
    trees      1,000 trees at once: from a reply to the next request
    wire       the same in a searcher process, gRPC on both sides
    cancel     from a cancel, a caller's leaving, a deadline until engine and sandbox are free
    ppm        tokens the real PPM computes against distinct tokens in the trees

Without --part or --full `core`, `grpc`, `schedule`, `parallel`, `early` and `trees` run, in about
two minutes: simulated time passes ten times faster than the clock while our own overhead does not
shrink, so its ratios are worse than those of the full form, never better.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rstar_searcher.bench.core_part import measure_core
from rstar_searcher.bench.early_part import measure_early
from rstar_searcher.bench.machine import machine
from rstar_searcher.bench.many_part import TREES, measure_many
from rstar_searcher.bench.parameters import BASE, H100, HEAVY_TAIL, PROBLEMS, ROLLOUTS, SETS
from rstar_searcher.bench.schedule_part import measure_parallel, measure_schedule
from rstar_searcher.bench.solved_part import measure_solved

SHORT_SCALE = 10.0
WIRE_SCALE = 4.0
SHORT_SETS = ("base",)
PARALLEL_PROBLEMS = 8
SOLVED_ROLLOUTS = 8

Part = Callable[[argparse.Namespace], object]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, end."""
    options = _parser().parse_args(arguments)
    parts = options.part or list(PARTS if options.full else SHORT_PARTS)
    report: dict[str, object] = {"benchmark": "search", "machine": machine()}
    for name in parts:
        report[name] = PARTS[name](options)
    sys.stdout.write(json.dumps(report) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rstar_searcher.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--part", action="append", choices=[*PARTS], help="only this; may be repeated"
    )
    parser.add_argument(
        "--full", action="store_true", help="every parameter set in real time: about 70 minutes"
    )
    parser.add_argument("--set", action="append", choices=[*SETS], help="only this parameter set")
    parser.add_argument("--scale", type=float, help="simulated seconds a real second")
    parser.add_argument("--problems", type=int, default=PROBLEMS)
    parser.add_argument("--rollouts", type=int, default=ROLLOUTS)
    parser.add_argument("--solved-problems", type=int, default=400, help="of the part `solved`")
    parser.add_argument(
        "--curve", type=Path, help="of the part `early`: write the figure of the heavy tail"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for each rate")
    return parser


def _scale(options: argparse.Namespace) -> float:
    return float(options.scale or (1.0 if options.full else SHORT_SCALE))


def _core(options: argparse.Namespace) -> object:
    return measure_core(seconds=options.seconds)


def _schedule(options: argparse.Namespace) -> object:
    return {
        name: measure_schedule(
            SETS[name],
            problems=options.problems,
            rollouts=options.rollouts,
            scale=_scale(options),
        )
        for name in options.set or (SETS if options.full else SHORT_SETS)
    }


def _parallel(options: argparse.Namespace) -> object:
    problems = min(PARALLEL_PROBLEMS, options.problems)
    return {
        "problems": problems,
        "virtual_time": True,
        "rows": measure_parallel(BASE, problems=problems, rollouts=options.rollouts),
    }


def _early(options: argparse.Namespace) -> object:
    problems = min(PARALLEL_PROBLEMS, options.problems)
    return {
        parameters.name: measure_early(
            parameters,
            problems=problems,
            rollouts=options.rollouts,
            curve=options.curve if parameters is HEAVY_TAIL else None,
        )
        for parameters in (BASE, HEAVY_TAIL)
    }


def _solved(options: argparse.Namespace) -> object:
    return measure_solved(BASE, problems=options.solved_problems, rollouts=SOLVED_ROLLOUTS)


def _trees(options: argparse.Namespace) -> object:
    return measure_many(H100, trees=TREES, rollouts=1, scale=_scale(options))


def _grpc(options: argparse.Namespace) -> object:
    from rstar_searcher.bench.grpc_part import measure_grpc

    return asyncio.run(measure_grpc(seconds=options.seconds))


def _wire(options: argparse.Namespace) -> object:
    from rstar_searcher.bench.grpc_part import measure_many_grpc

    return asyncio.run(measure_many_grpc(trees=TREES, scale=options.scale or WIRE_SCALE))


def _cancel(options: argparse.Namespace) -> object:
    from rstar_searcher.bench.cancel_part import measure_cancel

    return asyncio.run(measure_cancel())


def _ppm(options: argparse.Namespace) -> object:
    from rstar_searcher.bench.ppm_part import measure_ppm

    return asyncio.run(measure_ppm(full=options.full))


PARTS: dict[str, Part] = {
    "core": _core,
    "grpc": _grpc,
    "schedule": _schedule,
    "parallel": _parallel,
    "early": _early,
    "solved": _solved,
    "trees": _trees,
    "wire": _wire,
    "cancel": _cancel,
    "ppm": _ppm,
}

SHORT_PARTS = ("core", "grpc", "schedule", "parallel", "early", "trees")
"""What runs when neither a part nor `--full` is asked for: about two minutes."""


if __name__ == "__main__":
    main()

"""`python -m rstar_searcher.bench.real_solved`: as the part `solved`, on the real engine.

    rstar up && python -m rstar_searcher.bench.real_solved; rstar down

Every problem of a file is searched with 1, 4 and 8 rollouts of its tree at once, the same
problems, seeds and number of rollouts each time, in data generation's mode, where a search
knows its reference and ends with its first right rollout: that is a solved problem.
Differences are paired, with bootstrapped 95 % intervals. The last row ends the longer siblings
early (`--enough`), with as many rollouts at once as the row before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rstar_searcher.bench.command import command_line, print_line
from rstar_searcher.bench.real_kills import SEARCH_SHARE, results_of, searched
from rstar_searcher.bench.solved_part import paired, wilson

SOLVED = "ENDED_BY_SOLVED"


def sampled(path: Path, count: int) -> list[dict[str, str]]:
    """So many problems of a file, spread evenly, with their answers."""
    lines = path.read_text().splitlines()
    chosen = lines[:: max(1, len(lines) // count)][:count]
    found = [json.loads(line) for line in chosen]
    return [
        {"id": f"n{n}", "question": each["question"], "answer": each["answer"]}
        for n, each in enumerate(found)
    ]


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """One row for each number of rollouts at once; see the module."""
    problems = sampled(options.problems_file, options.problems)
    ways = [(parallel, 0) for parallel in options.parallel]
    if options.enough:
        ways.append((options.parallel[-1], options.enough))
    rows: list[dict[str, object]] = []
    base: list[bool] = []
    with tempfile.TemporaryDirectory(prefix="rstar-bench-") as directory:
        file = Path(directory) / "problems.jsonl"
        file.write_text("\n".join(map(json.dumps, problems)))
        for parallel, enough in ways:
            size = f"--rollouts {options.rollouts} --candidates {options.candidates}"
            settings = size.split()
            settings += ["--parallel", str(parallel), "--seed", "7", "--with-references"]
            settings += ["--stop-after-right", "1"]
            settings += ["--mode", "ppm-augmented", "--timeout", str(SEARCH_SHARE * options.limit)]
            settings += ["--enough", str(enough)] if enough else []
            batch_id, _, seconds = await searched(file, settings=settings, limit=options.limit)
            results = await results_of(batch_id)
            endings = {each["problem_id"]: each["ended_by"] for each in results}
            solved = [endings.get(each["id"]) == SOLVED for each in problems]
            base = base or solved
            low, high = wilson(sum(solved), len(solved))
            difference, least, most = paired(base, solved)
            rows.append(
                {
                    "parallel_rollouts": parallel,
                    "enough_candidates": enough,
                    "results": len(results),
                    "solved": round(sum(solved) / len(solved), 4),
                    "interval": [round(low, 4), round(high, 4)],
                    "endings": dict(Counter(endings.values())),
                    "difference_to_first": round(difference, 4),
                    "difference_interval": [round(least, 4), round(most, 4)],
                    "seconds": round(seconds, 1),
                    "tokens": _total(results, "generated_tokens"),
                    "expansions": _total(results, "expansions"),
                }
            )
    return {"problems": len(problems), "rollouts": options.rollouts, "rows": rows}


def _total(results: Sequence[Mapping[str, Any]], of: str) -> int:
    return sum(int(each["cost"].get(of, 0)) for each in results)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, end."""
    parser = command_line("real_solved", __doc__)
    parser.add_argument("--problems-file", type=Path, default=Path("data/dm_math/heldout.jsonl"))
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--enough", type=int, default=6, help="in one more row; 0: no such row")
    parser.add_argument("--limit", type=float, default=1_800.0, help="seconds until given up")
    report = asyncio.run(measure(parser.parse_args(arguments)))
    print_line("solved share, real engine", report)


if __name__ == "__main__":
    main()

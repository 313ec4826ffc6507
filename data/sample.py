"""Remake the shipped samples from full files of the DeepMind Mathematics Dataset.

    python data/sample.py FULL_DIR

FULL_DIR holds train-easy.jsonl.gz, train-medium.jsonl.gz, train-hard.jsonl.gz,
interpolate.jsonl and extrapolate.jsonl: one JSON object a line with id, module, question
and answer. Which problems are taken depends on a hash of their id alone, never on results.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
TRAIN = {"train-easy.jsonl.gz": 180, "train-medium.jsonl.gz": 90, "train-hard.jsonl.gz": 30}
"""Problems taken a module."""

VALIDATION = {"train-easy.jsonl.gz": 2, "train-medium.jsonl.gz": 2, "train-hard.jsonl.gz": 1}
"""Taken after those: what decides about models, so that held-out problems decide nothing."""

HELD_OUT = {"interpolate.jsonl": 5, "extrapolate.jsonl": 5}
ALL = 1_000_000
"""More than a module has."""

DEMO = 24
MAX_QUESTION_CHARACTERS = 300
"""Longer training questions do not fit the mini models' context beside a solution."""


def read(path: Path) -> Iterator[dict[str, str]]:
    """Problems of a file, gzipped or not."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    for line in text.splitlines():
        yield json.loads(line)


def rank(problem: dict[str, str]) -> str:
    """Orders problems without regard to what they say."""
    return hashlib.sha256(problem["id"].encode()).hexdigest()


def take(problems: Iterable[dict[str, str]], count: int, *, after: int = 0) -> list[dict[str, str]]:
    """`count` problems of each module, after the first `after`."""
    modules = defaultdict(list)
    for problem in problems:
        modules[problem["module"]].append(problem)
    return [
        {key: problem[key] for key in ("id", "module", "question", "answer")}
        | {"level": problem["id"].split("/")[1].removeprefix("train-")}
        for module in sorted(modules)
        for problem in sorted(modules[module], key=rank)[after : after + count]
    ]


def main(full: Path) -> None:
    """Write the files that README.md lists."""
    everything = [p for name in HELD_OUT for p in take(read(full / name), ALL)]
    held_out = [
        p for name, count in HELD_OUT.items() for p in take(read(full / name), count, after=1)
    ]
    demo_pool = take(read(full / "interpolate.jsonl"), 1)
    asked = {problem["question"] for problem in everything}

    def to_learn(counts: dict[str, int], after: dict[str, int]) -> list[dict[str, str]]:
        return [
            problem
            for name, count in counts.items()
            for problem in take(
                (
                    p
                    for p in read(full / name)
                    if p["question"] not in asked and len(p["question"]) <= MAX_QUESTION_CHARACTERS
                ),
                count,
                after=after.get(name, 0),
            )
        ]

    train = to_learn(TRAIN, {})
    taught = {problem["question"] for problem in train}
    validation = [p for p in to_learn(VALIDATION, TRAIN) if p["question"] not in taught]
    # Shuffled by hash, so that any prefix is a fair sample of all modules.
    train.sort(key=rank)
    validation.sort(key=rank)
    held_out.sort(key=rank)
    everything.sort(key=rank)
    write_gzipped(HERE / "dm_math/train.jsonl.gz", train)
    write_gzipped(HERE / "dm_math/heldout-all.jsonl.gz", everything)
    (HERE / "dm_math/validation.jsonl").write_text(lines(validation))
    (HERE / "dm_math/heldout.jsonl").write_text(lines(held_out))
    # Each of the first 24 modules in hash order gives its first interpolation problem, which
    # the held-out sample leaves out.
    first = {}
    for problem in sorted(demo_pool, key=rank):
        first.setdefault(problem["module"], problem)
    demo = list(first.values())[:DEMO]
    (HERE / "demo.jsonl").write_text(lines(demo))


def lines(problems: Iterable[dict[str, str]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(problem) + "\n" for problem in problems)


def write_gzipped(path: Path, problems: Iterable[dict[str, str]]) -> None:
    """The same bytes for the same problems: no name, no time."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as out,
    ):
        out.write(lines(problems).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Hold the judge against the references of problem files.

    python -m rstar_sandbox.judge_check FILES… [--limit N] [--kind latex]

Each file has one JSON object a line with `question` and `answer`, gzipped or not. Every reference
is judged against itself, against corruptions of it (a digit, a term, a sign, an order) and
against rewritings that keep its value; see `variants`. One JSON line a file and kind comes out,
with every false verdict in it. Starts sandboxes of its own: needs gVisor.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rstar_sandbox.environment import prepared
from rstar_sandbox.judge import Judge, Pair
from rstar_sandbox.judging import AnswerKind, Judgement, Verdict, number
from rstar_sandbox.pool import Pool
from rstar_sandbox.settings import SandboxSection
from rstar_sandbox.variants import corruptions, rewritings

BATCH = 256
TIMEOUT_SECONDS = 600.0
EXAMPLES_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Trial:
    """A pair, and what kind of variant it is of which group."""

    group: str
    change: str
    pair: Pair


@dataclass(slots=True)
class Tally:
    """Of one file and kind."""

    references: int = 0
    verdicts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[list[str]] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, trial: Trial, judgement: Judgement) -> None:
        self.verdicts[f"{trial.group}:{trial.change}"][judgement.verdict] += 1
        false_equal = trial.group == "corrupted" and judgement.verdict is Verdict.EQUAL
        missed = trial.group != "corrupted" and judgement.verdict is not Verdict.EQUAL
        if false_equal or missed:
            what = "false equal" if false_equal else f"not equal ({judgement.verdict})"
            self.wrong.append(
                [what, trial.change, trial.pair.answer, trial.pair.reference, judgement.reason]
            )

    def summary(self) -> dict[str, Any]:
        groups: dict[str, Counter[str]] = defaultdict(Counter)
        for name, counter in self.verdicts.items():
            groups[name.partition(":")[0]] += counter
        rewritten = groups["rewritten"]
        return {
            "references": self.references,
            "itself_equal": groups["itself"]["equal"],
            "corrupted": groups["corrupted"].total(),
            "false_equal": groups["corrupted"]["equal"],
            "corrupted_undecided": groups["corrupted"]["undecided"],
            "rewritten": rewritten.total(),
            "rewritten_equal_share": round(rewritten["equal"] / max(1, rewritten.total()), 5),
            "rewritten_undecided": rewritten["undecided"],
            "seconds": round(self.seconds, 1),
            "by_change": {name: dict(counter) for name, counter in sorted(self.verdicts.items())},
            "wrong": self.wrong[:EXAMPLES_SHOWN],
        }


def main() -> None:
    """Print a JSON line a file and kind; fail if a corruption is judged equal."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--kind", type=AnswerKind, help="of all answers; else told by the record")
    parser.add_argument("--limit", type=int, default=0, help="references a file")
    parser.add_argument("--sandboxes", type=int, default=0, help="0: one a core")
    arguments = parser.parse_args()
    sys.exit(asyncio.run(_main(arguments)))


async def _main(arguments: argparse.Namespace) -> int:
    settings = SandboxSection(sandboxes=arguments.sandboxes)
    false_equals = 0
    async with prepared(settings) as environment:
        pool, stop = Pool(settings, environment), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(pool.run(stop))
            await pool.ready.wait()
            judge = Judge(pool, at_once=pool.slots)
            for file in arguments.files:
                tallies = await check(judge, records(file, arguments.limit), arguments.kind)
                for kind, tally in tallies.items():
                    line = {"file": file.name, "kind": kind, **tally.summary()}
                    false_equals += line["false_equal"]
                    sys.stdout.write(json.dumps(line) + "\n")
                    sys.stdout.flush()
            stop.set()
            await running
    return 1 if false_equals else 0


def records(file: Path, limit: int) -> list[dict[str, str]]:
    """Of a file, the first `limit` that have an answer; all for 0."""
    data = file.read_bytes()
    text = gzip.decompress(data) if file.suffix == ".gz" else data
    found = [record for line in text.splitlines() if (record := json.loads(line)).get("answer")]
    return found[: limit or None]


def kind_of(record: dict[str, str]) -> AnswerKind:
    """Its own, or what fits: the mini domain is exact, plain numbers are numbers."""
    if "answer_kind" in record:
        return AnswerKind(record["answer_kind"])
    if "module" in record:
        return AnswerKind.EXACT
    return AnswerKind.LATEX if number(record["answer"]) is None else AnswerKind.NUMBER


async def check(
    judge: Judge, problems: Sequence[dict[str, str]], kind: AnswerKind | None
) -> dict[AnswerKind, Tally]:
    """Judge all trials of all problems."""
    by_kind: dict[AnswerKind, list[dict[str, str]]] = defaultdict(list)
    for record in problems:
        by_kind[kind or kind_of(record)].append(record)
    tallies = {}
    for found, group in by_kind.items():
        tally = tallies[found] = Tally(references=len(group))
        started = time.monotonic()
        batch: list[Trial] = []
        for record in group:
            batch += trials(record, found)
            if len(batch) >= BATCH:
                await _judge(judge, batch, tally)
                batch = []
        await _judge(judge, batch, tally)
        tally.seconds = time.monotonic() - started
    return tallies


def trials(record: dict[str, str], kind: AnswerKind) -> Iterator[Trial]:
    """The pairs to be judged for one problem."""
    reference, question = record["answer"], record.get("question", "")
    yield Trial("itself", "itself", Pair(reference, reference, kind, question))
    for variant in corruptions(reference, kind):
        yield Trial("corrupted", variant.change, Pair(variant.answer, reference, kind, question))
    for variant in rewritings(reference, kind, question):
        yield Trial("rewritten", variant.change, Pair(variant.answer, reference, kind, question))


async def _judge(judge: Judge, batch: Sequence[Trial], tally: Tally) -> None:
    judgements = await judge.judge_all(
        [trial.pair for trial in batch], timeout_seconds=TIMEOUT_SECONDS
    )
    for trial, judgement in zip(batch, judgements, strict=True):
        tally.count(trial, judgement)


if __name__ == "__main__":
    main()

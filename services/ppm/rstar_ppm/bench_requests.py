"""Scoring requests as a tree search makes them: real questions, siblings, shared prefixes.

A tree grows by descents: each asks for the scores of eight new steps below the node it
reached, then goes on below one of them. The steps are programs of the mini format's shape
over the question's own numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rstar.v1 import ppm_pb2, types_pb2

SIBLINGS = 8
DEPTH = 4
DESCENTS = 6

_NUMBER = re.compile(r"\d+")
_LINES = (
    "# Step {k}: combine the numbers\n{v} = {a} {o} {b}",
    "# Step {k}: name what is given\n{v} = {a}\nw{k} = {b}\nprint({v} {o} w{k})",
    "# Step {k}: simplify\nfrom sympy import symbols, simplify\nx = symbols('x')\n"
    "{v} = simplify({a}*x {o} {b}*x)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The requests of one tree, in the order a search makes them."""

    requests: Sequence[ppm_pb2.ScoreRequest]
    distinct_texts: Sequence[str]
    """The question and every scored step once."""


def read_questions(path: Path, count: int) -> list[str]:
    """The first questions of a file of problems."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["question"] for line, _ in zip(lines, range(count), strict=False)]


def tree_of(question: str, seed: int) -> Tree:
    """A tree over one question; a function of its arguments."""
    rng = Random(f"{question}|{seed}")
    children: dict[tuple[int, ...], list[types_pb2.Step]] = {}
    requests = []
    for _ in range(DESCENTS):
        place: tuple[int, ...] = ()
        path: list[types_pb2.Step] = []
        while len(place) < DEPTH:
            if place not in children:
                children[place] = list(_siblings(question, len(place) + 1, rng))
                requests.append(
                    ppm_pb2.ScoreRequest(
                        question=question,
                        path=path,
                        siblings=children[place],
                        search_id=f"bench-{seed}",
                    )
                )
            chosen = rng.randrange(SIBLINGS)
            path.append(children[place][chosen])
            place = (*place, chosen)
    steps = [step.text for siblings in children.values() for step in siblings]
    return Tree(requests=requests, distinct_texts=[question, *steps])


def _siblings(question: str, depth: int, rng: Random) -> Iterator[types_pb2.Step]:
    numbers = _NUMBER.findall(question) or ["1"]
    for index in range(SIBLINGS):
        text = rng.choice(_LINES).format(
            k=depth,
            v=f"v{index}",
            a=rng.choice(numbers),
            b=rng.choice(numbers),
            o=rng.choice("+-*/"),
        )
        yield types_pb2.Step(
            text=text,
            kind=types_pb2.STEP_KIND_CODE,
        )

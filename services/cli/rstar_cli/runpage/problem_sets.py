"""How many problems are behind a share: measured, by module, and searched, by difficulty.

A run's record has the shares; the problems are in the store.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.json_format import Parse

from rstar.v1 import types_pb2
from rstar_cli.runpage.measurements import Measurement

LABELS = ("module", "subject", "type", "level", "source")
"""The first of these that a problem has is the one that reports tell apart: as in the trainer."""

LEVEL = "level"


@dataclass(frozen=True, slots=True)
class ProblemLabels:
    """What is known of a run's problems; nothing of those that are no longer there."""

    sets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The label of every problem of an evaluation set, in the set's order, by its name."""

    searched: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """By round, how many problems of each difficulty it searched."""


NOTHING_KNOWN = ProblemLabels()


def labels_of(lines: bytes) -> list[str]:
    """The label of each problem of an object, one JSON `Problem` a line; empty if it has none."""
    every = (json.loads(line).get("labels", {}) for line in lines.splitlines())
    return [next((own[name] for name in LABELS if name in own), "") for own in every]


def levels_of(lines: bytes) -> dict[str, str]:
    """The difficulty of each problem of an object that has one, by its id."""
    problems = [Parse(line, types_pb2.Problem()) for line in lines.split(b"\n") if line]
    return {one.problem_id: one.labels[LEVEL] for one in problems if LEVEL in one.labels}


def searched_levels(ids: Iterable[str], levels: Mapping[str, str]) -> Mapping[str, int]:
    """How many of the problems that a round searched have each difficulty."""
    return Counter(levels[name] for name in ids if name in levels)


def problems_by_label(measured: Measurement, known: ProblemLabels) -> Mapping[str, int]:
    """How many problems of each label a measurement asked; empty if its set is not known.

    A set that has changed since is not known: what it holds must be what was measured.
    """
    labels = known.sets.get(measured.asked.set, ())
    few = measured.asked.problems
    if few and few < len(labels):  # at equal distances, as the trainer takes them
        labels = [labels[index * len(labels) // few] for index in range(few)]
    counts = Counter(labels)
    same = len(labels) == measured.made.problems and set(counts) == set(measured.made.by_label)
    return counts if same else {}

"""Right trajectories drawn at random, to be compared with those the search valued most.

Over the trees of a tree search these are random right trajectories; over independent samples
(`best_of_n`) they are rejection sampling (rStar-Math section 4.3). Everything else, the
agreement filter included, is as in `selection`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from random import Random

from rstar_trainer.agreement import Agreement
from rstar_trainer.dataset import SearchTree
from rstar_trainer.selection import Example, Selection, select_examples

ALL = 1_000_000
"""More right trajectories than a problem has."""


def draw_examples(
    trees: Iterable[SearchTree], *, per_problem: int, agreement: Agreement | None, seed: int
) -> Selection:
    """Keep up to `per_problem` different right trajectories of each question, whatever their Q."""
    every = select_examples(trees, per_problem=ALL, agreement=agreement)
    by_question: dict[str, list[Example]] = defaultdict(list)
    for example in every.examples:
        by_question[example.question].append(example)
    drawn: list[Example] = []
    for question, examples in by_question.items():
        # By the program, so that the draw does not depend on what is being compared with.
        examples.sort(key=lambda one: [step.text for step in one.steps])
        rng = Random(f"{seed}/{question}")
        drawn += rng.sample(examples, min(per_problem, len(examples)))
    return Selection(
        examples=tuple(drawn),
        problems=every.problems,
        solved=every.solved,
        right=every.right,
        disowned=every.disowned,
        refused=every.refused,
    )

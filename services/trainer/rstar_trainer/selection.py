"""SFT examples: for each problem the right trajectories with the highest mean Q along the path.

rStar-Math section 3.4. A problem that was searched more than once is one problem. Order and
choice depend on the trees alone, never on the order of files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from rstar_common.formats import PromptStep
from rstar_trainer.agreement import SHARE_OF_BEST, Agreement
from rstar_trainer.dataset import Outcome, SearchTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question with a solution to learn."""

    question: str
    steps: tuple[PromptStep, ...]
    mean_q: float
    agreement: float = 1.0
    """Success of its program on other problems, relative to the best."""

    search_id: str = ""
    problem_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was kept, and of how much."""

    examples: tuple[Example, ...]
    problems: int
    solved: int
    """Problems with a right trajectory."""

    right: int
    """Right trajectories found."""

    disowned: int
    """Right trajectories refused because their program does not agree with other problems."""

    refused: tuple[str, ...]
    """Problems all of whose right trajectories are refused: solved, as it seems, by chance."""


def select_examples(
    trees: Iterable[SearchTree], *, per_problem: int, agreement: Agreement | None
) -> Selection:
    """Keep up to `per_problem` different right trajectories of each question."""
    found: dict[str, dict[str, Example]] = defaultdict(dict)
    problems: set[str] = set()
    solved: dict[str, set[str]] = defaultdict(set)
    right = disowned = 0
    for tree in trees:
        problems.add(tree.question)
        scores = agreement.scores(tree) if agreement else {}
        refused = {leaf for leaf, score in scores.items() if score < SHARE_OF_BEST}
        answers = sum(one.outcome is Outcome.RIGHT for one in tree.trajectories())
        right += answers
        disowned += len(refused)
        if answers:
            solved[tree.question].add(tree.problem_id)
        # What a refused answer had backed up counts for no other that shares steps with it.
        for trajectory in tree.without(refused).trajectories():
            if trajectory.outcome is not Outcome.RIGHT:
                continue
            agreed = scores.get(trajectory.leaf, 1.0)
            program = "\n".join(step.text for step in trajectory.steps)
            known = found[tree.question].get(program)
            if known is None or trajectory.mean_q > known.mean_q:
                found[tree.question][program] = Example(
                    question=tree.question,
                    steps=trajectory.steps,
                    mean_q=trajectory.mean_q,
                    agreement=round(agreed, 2),
                    search_id=tree.search_id,
                    problem_id=tree.problem_id,
                )
    examples: list[Example] = []
    for question in sorted(found):
        # Programs that agree come first: questions of one kind are then answered in one way.
        # Of equals the shortest program, then the first in the alphabet.
        ranked = sorted(
            found[question].items(),
            key=lambda item: (-item[1].agreement, -item[1].mean_q, len(item[0]), item[0]),
        )
        examples += [example for _, example in ranked[:per_problem]]
    return Selection(
        examples=tuple(examples),
        problems=len(problems),
        solved=len(solved),
        right=right,
        disowned=disowned,
        refused=tuple(sorted(set().union(*(solved[one] for one in solved.keys() - found.keys())))),
    )

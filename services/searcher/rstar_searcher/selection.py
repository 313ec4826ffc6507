"""Which finished trajectory gives the answer; separate from how the tree was searched.

Source: rStar-Math section 3.2 and the authors' code: best PPM score, majority, or a
majority weighted by PPM score among the K best.

Equal candidates are one node, so a trajectory's votes are more than one, or less: as many as
independent samples would have given it, of which each step was drawn as often as it was.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from rstar_searcher.model import Verdict
from rstar_searcher.settings import AnswerSelection
from rstar_searcher.tree import NodeId, Terminal, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One finished line of thought."""

    leaf: NodeId
    root: NodeId
    answer: str
    score: float | None
    """The PPM's score of the whole trajectory."""

    mean_q: float
    """Mean Q along the path, the root apart: the paper's measure for SFT selection."""

    count: int
    """Samples that were this very trajectory, from its last step on."""

    votes: float
    """Of all of its steps: the share of samples that would be this trajectory; where every sample
    went its own way, their number."""

    verdict: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The answer and why."""

    trajectory: Trajectory
    score: float
    """PPM score, or share of the votes."""


def trajectories(tree: Tree, *, candidates: int = 0) -> list[Trajectory]:
    """Every trajectory of all trees that states an answer, best first.

    So many `candidates` were asked for at every node; 0 where a node had as many as samples
    reached it, so that the count of the last step is that of the whole trajectory.
    """
    found = []
    for leaf in tree.ids():
        node = tree[leaf]
        if node.terminal is not Terminal.ANSWER or node.step is None or node.step.answer is None:
            continue
        path = tree.path_to(leaf)
        found.append(
            Trajectory(
                leaf=leaf,
                root=path[0],
                answer=node.step.answer,
                score=node.step.ppm_score,
                mean_q=sum(tree[i].q for i in path[1:]) / node.depth,
                count=node.step.multiplicity,
                votes=_votes(tree, path, candidates),
                verdict=node.step.verdict,
            )
        )
    return sorted(found, key=_rank, reverse=True)


def _votes(tree: Tree, path: list[NodeId], candidates: int) -> float:
    steps = [step for node in path if (step := tree[node].step) is not None]
    if not candidates:
        return float(steps[-1].multiplicity)
    return math.prod(step.multiplicity / candidates for step in steps)


def _rank(trajectory: Trajectory) -> tuple[float, float, int, int]:
    # Without a PPM the mean Q decides; among equals the first found. Ids of several trees
    # interleave as time will have it, so the root comes before them.
    score = trajectory.score if trajectory.score is not None else -2.0
    return (score, trajectory.mean_q, -trajectory.root, -trajectory.leaf)


def select_answer(found: list[Trajectory], rule: AnswerSelection, *, top_k: int) -> Selected | None:
    """Choose among `found`, which is sorted best first; None if there is none."""
    if not found:
        return None
    scored = found[0].score is not None
    if rule is AnswerSelection.BEST_PPM and scored:
        return Selected(trajectory=found[0], score=found[0].score or 0.0)
    weighted = rule is AnswerSelection.WEIGHTED_MAJORITY and scored
    voters = found[:top_k] if rule is AnswerSelection.WEIGHTED_MAJORITY else found
    votes: defaultdict[str, float] = defaultdict(float)
    for voter in voters:
        # PPM scores lie in [-1, 1]; a vote must not be negative.
        votes[voter.answer] += voter.votes * ((1 + (voter.score or 0.0)) / 2 if weighted else 1.0)
    total = sum(votes.values())
    # `found` is sorted, so of equal votes the better trajectory wins.
    winner = max(voters, key=lambda voter: votes[voter.answer])
    return Selected(trajectory=winner, score=votes[winner.answer] / total if total else 0.0)

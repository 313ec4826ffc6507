"""Preference pairs for the PPM, from trees (rStar-Math section 3.3).

At each node: the children with the highest Q that lead to a right answer are preferred to
those with the lowest Q that lead to a wrong one; all share the prefix. For the final step
the prefix may differ: the best right trajectories against the worst wrong ones. Only trees
with both outcomes teach; an undecided answer leads nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from rstar_common.formats import PromptStep
from rstar_trainer.dataset import Outcome, SearchTree

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceGroup:
    """Every preferred line is preferred to every rejected one, over the margin."""

    question: str
    preferred: tuple[tuple[PromptStep, ...], ...]
    rejected: tuple[tuple[PromptStep, ...], ...]
    final: bool
    """Whole trajectories, whose prefixes may differ."""

    search_id: str = ""
    problem_id: str = ""

    @property
    def pairs(self) -> int:
        return len(self.preferred) * len(self.rejected)


@dataclass(frozen=True, slots=True)
class _Ranked:
    node: int
    q: float


def preference_groups(
    tree: SearchTree, *, per_side: int, min_margin: float
) -> list[PreferenceGroup]:
    """The groups of one tree: one for each node that has a pair, then the final one."""
    leads_right, leads_wrong = _leads_to(tree, Outcome.RIGHT), _leads_to(tree, Outcome.WRONG)
    if not (any(leads_right) and any(leads_wrong)):
        return []
    groups: list[PreferenceGroup] = []
    for children in tree.children():
        ranked = [_Ranked(child, tree.nodes[child].q) for child in children]
        groups += _group(
            tree,
            [one for one in ranked if leads_right[one.node]],
            [one for one in ranked if leads_wrong[one.node]],
            per_side=per_side,
            min_margin=min_margin,
            final=False,
        )
    trajectories = tree.trajectories()
    groups += _group(
        tree,
        [_Ranked(t.leaf, t.mean_q) for t in trajectories if t.outcome is Outcome.RIGHT],
        [_Ranked(t.leaf, t.mean_q) for t in trajectories if t.outcome is Outcome.WRONG],
        per_side=per_side,
        min_margin=min_margin,
        final=True,
    )
    return groups


def outcome_groups(tree: SearchTree, *, per_side: int) -> list[PreferenceGroup]:
    """Whole trajectories, right against wrong, whatever their Q: what an outcome model learns."""
    trajectories = tree.trajectories()
    right = [t for t in trajectories if t.outcome is Outcome.RIGHT][:per_side]
    wrong = [t for t in trajectories if t.outcome is Outcome.WRONG][:per_side]
    if not (right and wrong):
        return []
    return [
        PreferenceGroup(
            question=tree.question,
            preferred=tuple(t.steps for t in right),
            rejected=tuple(t.steps for t in wrong),
            final=True,
            search_id=tree.search_id,
            problem_id=tree.problem_id,
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuedSteps:
    """Siblings and the Q of each: what a regression learns."""

    question: str
    paths: tuple[tuple[PromptStep, ...], ...]
    values: tuple[float, ...]


def valued_steps(tree: SearchTree) -> list[ValuedSteps]:
    """Every step that something was backed up to, siblings together."""
    found = []
    for children in tree.children():
        visited = [child for child in children if tree.nodes[child].visits > 0]
        if visited:
            found.append(
                ValuedSteps(
                    question=tree.question,
                    paths=tuple(tree.steps(child) for child in visited),
                    values=tuple(tree.nodes[child].q for child in visited),
                )
            )
    return found


def _leads_to(tree: SearchTree, outcome: Outcome) -> list[bool]:
    """For each node: whether it or a descendant states an answer of this outcome."""
    leads = [node.outcome is outcome for node in tree.nodes]
    for node in reversed(tree.nodes[1:]):
        leads[node.parent] = leads[node.parent] or leads[node.id]
    return leads


def _group(
    tree: SearchTree,
    right: Sequence[_Ranked],
    wrong: Sequence[_Ranked],
    *,
    per_side: int,
    min_margin: float,
    final: bool,
) -> list[PreferenceGroup]:
    """At most one group: every pair of it has the margin, so a node is never on both sides."""
    preferred = sorted(right, key=lambda one: (-one.q, one.node))[:per_side]
    rejected = sorted(wrong, key=lambda one: (one.q, one.node))[:per_side]
    # The weakest on either side goes first until all pairs have the margin.
    while preferred and rejected and not _margin(preferred[-1], rejected[-1], min_margin):
        if len(preferred) >= len(rejected):
            preferred.pop()
        else:
            rejected.pop()
    if not (preferred and rejected):
        return []
    return [
        PreferenceGroup(
            question=tree.question,
            preferred=tuple(tree.steps(one.node) for one in preferred),
            rejected=tuple(tree.steps(one.node) for one in rejected),
            final=final,
            search_id=tree.search_id,
            problem_id=tree.problem_id,
        )
    ]


def _margin(preferred: _Ranked, rejected: _Ranked, least: float) -> bool:
    gap = preferred.q - rejected.q
    return preferred.node != rejected.node and gap > 0 and gap >= least

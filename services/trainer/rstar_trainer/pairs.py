"""Preference pairs for the PPM, from trees (rStar-Math section 3.3).

At each node: the children with the highest Q that lead to a right answer are preferred to
those with the lowest Q that lead to a wrong one; all share the prefix. For the final step
the prefix may differ: the best right trajectories against the worst wrong ones. Only trees
with both outcomes teach; an undecided answer leads nowhere. A pair is taught once, however
many trees have it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from rstar_common.formats import PromptStep
from rstar_trainer.dataset import Outcome, SearchTree
from rstar_trainer.edit_distance import is_apart

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceGroup:
    """Every preferred line is preferred to every rejected one, over the margin."""

    question: str
    preferred: tuple[tuple[PromptStep, ...], ...]
    rejected: tuple[tuple[PromptStep, ...], ...]
    final: bool
    """Whole trajectories, whose prefixes may differ."""

    q_preferred: tuple[float, ...] = ()
    """The Q of each preferred line, of whole trajectories the mean along the path; empty where
    nobody searched."""

    q_rejected: tuple[float, ...] = ()
    search_id: str = ""
    problem_id: str = ""
    batch_id: str = ""

    @property
    def pairs(self) -> int:
        return len(self.preferred) * len(self.rejected)


def distinct(groups: Iterable[PreferenceGroup]) -> list[PreferenceGroup]:
    """Every pair once, of those of a question with the same texts on either side.

    Trees that ask the same question (of two batches, rounds or roots) find the same siblings
    again. A group that repeats another in part keeps its other pairs: one group if these are a
    product, else several.
    """
    all_groups = list(groups)
    taken: set[_Pair] = set()
    kept: dict[int, list[PreferenceGroup]] = {}
    # Final groups come first. In the paper steps that share a prefix are compared as long as they
    # are no final step, and at the final step whole trajectories are: two siblings that both
    # state an answer, and are among the best and the worst, are a pair of these.
    for index in sorted(range(len(all_groups)), key=lambda at: not all_groups[at].final):
        kept[index] = _untaken(all_groups[index], taken)
    return [one for index in range(len(all_groups)) for one in kept[index]]


_Pair = tuple[bytes, bytes]


def _untaken(group: PreferenceGroup, taken: set[_Pair]) -> list[PreferenceGroup]:
    """What is left of a group without the pairs in `taken`; these are all in it afterwards."""
    preferred = [_digest(group.question, path) for path in group.preferred]
    rejected = [_digest(group.question, path) for path in group.rejected]

    def is_new(better: int, worse: int) -> bool:
        pair = (preferred[better], rejected[worse])
        new = pair not in taken
        taken.add(pair)
        return new

    return _parted(group, is_new)


def _apart(group: PreferenceGroup, least: int) -> list[PreferenceGroup]:
    """What is left of a group without pairs that fewer than `least` characters tell apart."""
    if not least:
        return [group]
    preferred, rejected = (
        ["\n".join(step.text for step in path) for path in side]
        for side in (group.preferred, group.rejected)
    )
    return _parted(group, lambda better, worse: is_apart(preferred[better], rejected[worse], least))


def _parted(group: PreferenceGroup, kept: Callable[[int, int], bool]) -> list[PreferenceGroup]:
    """The pairs of a group that are `kept`: one group if these are a product, else several."""
    sides: dict[tuple[int, ...], list[int]] = {}
    for better in range(len(group.preferred)):
        left = tuple(worse for worse in range(len(group.rejected)) if kept(better, worse))
        if left:
            sides.setdefault(left, []).append(better)
    return [
        replace(
            group,
            preferred=_chosen(group.preferred, better),
            rejected=_chosen(group.rejected, worse),
            q_preferred=_chosen(group.q_preferred, better),
            q_rejected=_chosen(group.q_rejected, worse),
        )
        for worse, better in sides.items()
    ]


def _digest(question: str, path: Sequence[PromptStep]) -> bytes:
    """Tells lines apart by their texts; neither tokens nor outputs make another of one."""
    texts = [question, *((step.kind.value, step.text) for step in path)]
    return hashlib.sha256(json.dumps(texts).encode()).digest()


def _chosen(values: tuple[T, ...], indices: Iterable[int]) -> tuple[T, ...]:
    return tuple(values[index] for index in indices) if values else ()


@dataclass(frozen=True, slots=True)
class _Ranked:
    node: int
    q: float


def preference_groups(
    tree: SearchTree, *, per_side: int, min_margin: float, min_edit_distance: int = 0
) -> list[PreferenceGroup]:
    """The groups of one tree: of each node that has a pair, then of whole trajectories."""
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
    return distinct(part for group in groups for part in _apart(group, min_edit_distance))


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
            q_preferred=tuple(t.mean_q for t in right),
            q_rejected=tuple(t.mean_q for t in wrong),
            search_id=tree.search_id,
            problem_id=tree.problem_id,
            batch_id=tree.batch_id,
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuedSteps:
    """Siblings and the Q of each: what a regression learns."""

    question: str
    paths: tuple[tuple[PromptStep, ...], ...]
    values: tuple[float, ...]
    search_id: str = ""
    problem_id: str = ""
    batch_id: str = ""


def valued_steps(tree: SearchTree) -> list[ValuedSteps]:
    """Every step that something was backed up to, siblings together."""
    found = []
    for children in tree.children():
        # What a PPM said of a step before anything was backed up to it is no value of the search.
        visited = [c for c in children if tree.nodes[c].visits > tree.nodes[c].prior]
        if visited:
            found.append(
                ValuedSteps(
                    question=tree.question,
                    paths=tuple(tree.steps(child) for child in visited),
                    values=tuple(tree.nodes[child].q for child in visited),
                    search_id=tree.search_id,
                    problem_id=tree.problem_id,
                    batch_id=tree.batch_id,
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
            q_preferred=tuple(one.q for one in preferred),
            q_rejected=tuple(one.q for one in rejected),
            search_id=tree.search_id,
            problem_id=tree.problem_id,
            batch_id=tree.batch_id,
        )
    ]


def _margin(preferred: _Ranked, rejected: _Ranked, least: float) -> bool:
    gap = preferred.q - rejected.q
    return preferred.node != rejected.node and gap > 0 and gap >= least

"""The table that decides whether the tree is worth it: every strategy at equal tokens.

Rows are read against the tree's own on the same problems, so the interval of a difference
is that of paired counts and far narrower than the two accuracies' own would suggest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rstar.v1 import types_pb2
from rstar_cli.evaluation.arms import Arm
from rstar_cli.evaluation.estimators import paired_difference, wilson
from rstar_cli.evaluation.record import Record, total
from rstar_cli.evaluation.summary import RULES, Rule, Verdicts, is_right

_READINGS: Mapping[str, Sequence[tuple[str, str]]] = {
    "greedy": (("greedy", "selected"),),
    "best-of-n": (
        ("majority", "majority"),
        ("weighted majority", "weighted_majority"),
        ("best-of-n", "best_ppm"),
    ),
    "step-beam": (("step-beam", "selected"),),
    "mcts": (
        ("mcts, majority", "majority"),
        ("mcts, weighted majority", "weighted_majority"),
        ("mcts, best PPM", "best_ppm"),
        ("mcts", "selected"),
    ),
}
"""Rows an arm makes: their names, and the rule that chooses the answer. Samples are drawn once
and read by every rule; a tree's trajectories are not independent, but may vote all the same."""


def compared(
    found: Sequence[tuple[Arm, Sequence[Record]]], verdicts: Verdicts
) -> list[dict[str, Any]]:
    """One table for each tree search that has baselines."""
    tables = []
    for tree, records in found:
        if tree.settings.strategy != types_pb2.STRATEGY_MCTS:
            continue
        beside = [one for one in found if one[0].baseline_of == tree.name]
        if not beside:
            continue
        greedy = [one for one in found if one[0].settings.strategy == types_pb2.STRATEGY_GREEDY]
        arms = [*greedy, *beside, (tree, records)]
        reference = _right(records, RULES["selected"], verdicts)
        spent = total(records)["generated_tokens"]
        tables.append(
            {
                "of": tree.name,
                "problems": len(records),
                "rows": [
                    _row(name, arm, its, RULES[rule], verdicts, reference, spent)
                    for arm, its in arms
                    for name, rule in _READINGS[arm.strategy]
                ],
            }
        )
    return tables


def _row(
    name: str,
    arm: Arm,
    records: Sequence[Record],
    rule: Rule,
    verdicts: Verdicts,
    reference: Sequence[bool],
    spent: float,
) -> dict[str, Any]:
    right = _right(records, rule, verdicts)
    tokens = total(records)["generated_tokens"]
    held = [
        any(is_right(record, one, verdicts) for one in record.answers)
        for record in records
        if not record.tree_gone
    ]
    return {
        "strategy": name,
        "arm": arm.name,
        "size": arm.trajectories,
        "right": sum(right),
        "accuracy": wilson(sum(right), len(right)).to_json(),
        "against_tree": paired_difference(right, reference).to_json(),
        "holds_right": wilson(sum(held), len(held)).to_json() if held else None,
        "tokens_a_problem": round(tokens / max(1, len(records)), 1),
        "tokens_of_tree": round(tokens / max(1.0, spent), 4),
        "wall_seconds_a_problem": round(total(records)["wall_seconds"] / max(1, len(records)), 3),
    }


def _right(records: Sequence[Record], rule: Rule, verdicts: Verdicts) -> list[bool]:
    return [is_right(record, rule(record), verdicts) for record in records]

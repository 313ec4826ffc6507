"""From records and verdicts to the figures of a report. Pure.

An answer counts as right only if it was judged equal; undecided is counted apart and is not
right. A problem without a result is unsolved, and stays in every denominator. What is read from
the tries is of the searches whose trees were there, and empty if no tree was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rstar_cli.evaluation.arms import Arm
from rstar_cli.evaluation.estimators import mean, pass_at_k, wilson
from rstar_cli.evaluation.record import DEAD, Record, total
from rstar_cli.evaluation.versions import answered_by
from rstar_cli.grading import EQUAL, UNDECIDED

GROUPS = ("subject", "level", "module")
"""Labels by which a set is broken down, where its problems have them."""

Verdicts = Mapping[tuple[str, str], str]
Rule = Callable[[Record], str]

RULES: Mapping[str, Rule] = {
    "selected": lambda record: record.answer,
    "majority": lambda record: record.choices.get("majority", ""),
    "weighted_majority": lambda record: record.choices.get("weighted_majority", ""),
    "best_ppm": lambda record: record.choices.get("best_ppm", ""),
}
"""Ways to choose one answer of a search: the one that was asked for, and every other one."""


def summary_of(arm: Arm, records: Sequence[Record], verdicts: Verdicts) -> dict[str, Any]:
    """The figures of one arm."""
    cost = total(records)
    count = len(records)
    seconds = [record.finished for record in records if record.finished]
    began = [record.started for record in records if record.started]
    known = [record for record in records if not record.tree_gone]
    return {
        "arm": arm.name,
        "strategy": arm.strategy,
        "baseline_of": arm.baseline_of,
        "trajectories": arm.trajectories,
        "problems": count,
        "dead": sum(record.status == DEAD for record in records),
        "trees_gone": count - len(known),
        "undecided": sum(
            _verdict(record, record.answer, verdicts) == UNDECIDED for record in records
        ),
        "accuracy": {
            name: _accuracy(records, rule, verdicts)
            for name, rule in RULES.items()
            if any(rule(record) for record in records)
        },
        "pass_at": {
            str(k): mean([_pass(record, arm, k, verdicts) for record in known]).to_json()
            for k in sorted({1, arm.trajectories})
            if known
        },
        "ppm_pairs": _ppm_pairs(records, verdicts),
        "ended_by": dict(sorted(Counter(record.ended_by for record in records).items())),
        "finished_tries": sum(record.finished_tries for record in records),
        "generated_tokens": int(cost["generated_tokens"]),
        "wall_seconds": round(max(seconds, default=0.0) - min(began, default=0.0), 2),
        "cost_a_problem": {name: round(value / max(1, count), 3) for name, value in cost.items()},
        "by": {
            label: _by(records, label, verdicts)
            for label in GROUPS
            if any(label in record.labels for record in records)
        },
        "versions": answered_by(records),
    }


def _accuracy(records: Sequence[Record], rule: Rule, verdicts: Verdicts) -> dict[str, Any]:
    right = sum(is_right(record, rule(record), verdicts) for record in records)
    return {"right": right, **wilson(right, len(records)).to_json()}


def _pass(record: Record, arm: Arm, k: int, verdicts: Verdicts) -> float:
    right = sum(one.count for one in record.tries if is_right(record, one.answer, verdicts))
    # A sample whose code failed was a try as well.
    return pass_at_k(max(arm.samples, record.finished_tries), right, k)


def _ppm_pairs(records: Sequence[Record], verdicts: Verdicts) -> dict[str, int]:
    """How often the PPM prefers a right answer to a wrong one of the same problem.

    By the best trajectory of each answer, which is what best-of-n and the searcher choose by.
    """
    pairs = preferred = 0
    for record in records:
        scores: dict[bool, list[float]] = {True: [], False: []}
        for one in record.tries:
            if one.score is not None and _verdict(record, one.answer, verdicts) != UNDECIDED:
                scores[is_right(record, one.answer, verdicts)].append(one.score)
        pairs += len(scores[True]) * len(scores[False])
        preferred += sum(right > wrong for right in scores[True] for wrong in scores[False])
    return {"pairs": pairs, "right_preferred": preferred}


def _by(records: Sequence[Record], label: str, verdicts: Verdicts) -> dict[str, Any]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.labels.get(label, ""), []).append(record)
    return {
        name: {
            "problems": len(groups[name]),
            **_accuracy(groups[name], RULES["selected"], verdicts),
        }
        for name in sorted(groups)
    }


def is_right(record: Record, answer: str, verdicts: Verdicts) -> bool:
    """Whether an answer to the record's problem was judged equal to the reference."""
    return _verdict(record, answer, verdicts) == EQUAL


def _verdict(record: Record, answer: str, verdicts: Verdicts) -> str:
    return verdicts.get((record.problem_id, answer), "") if answer else ""

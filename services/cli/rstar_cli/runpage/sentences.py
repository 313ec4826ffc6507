"""What a report says in words: whether rounds improved, and what stayed unsolved."""

from __future__ import annotations

from rstar.v1 import evolution_pb2
from rstar_cli.runpage.cells import a_module, measured, number, title
from rstar_cli.runpage.measurements import Measurement, measurements, series

LEAST = 5
"""Modules that are named as those which random programs solved least."""


def sentences(run: evolution_pb2.Run) -> list[str]:
    """All that the run has figures for."""
    return [*_gates(run), *_searches(run), *_bootstrap(run), *_without_right_answer(run)]


def _gates(run: evolution_pb2.Run) -> list[str]:
    """By how much what a gate looks at changed, compared as the gate compares."""
    found = measurements(run)
    said = []
    for one in found:
        gates = {gate.evaluation for gate in run.recipe.rounds[one.round].gates}
        before = _before(one, found)
        if one.made.name not in gates or before is None:
            continue
        change = one.made.accuracy - before.made.accuracy
        line = (
            f"Round {title(one.report)}, {one.made.name}: {measured(one.made)}, {change:+.3f} from "
            f"{measured(before.made)} in round {title(before.report)}"
        )
        if one.report.promoted and change < 0:
            line += ": not an improvement, though the gate let it stay"
        elif one.report.decision and not one.report.promoted:
            line += ": its models did not stay"
        said.append(f"{line}.")
    return said


def _before(one: Measurement, found: list[Measurement]) -> Measurement | None:
    """The same measurement of the models that were the best until then."""
    alike = [
        other
        for other in found
        if other.round < one.round and other.report.promoted and other.kind == one.kind
    ]
    return alike[-1] if alike else None


def _searches(run: evolution_pb2.Run) -> list[str]:
    shares = _most(list(run.rounds))
    if not shares:
        return []
    if never := sorted(label for label, most in shares.items() if most == 0.0):
        return [f"Never solved by the search of any round: {', '.join(never)}."]
    return ["Every module was solved by the search of some round."]


def _bootstrap(run: evolution_pb2.Run) -> list[str]:
    """The modules that random programs reach least: all that they do not, and five at least."""
    shares = _most([report for report in run.rounds if run.recipe.rounds[report.round].bootstrap])
    unreached = sum(most == 0.0 for most in shares.values())
    least = sorted(shares, key=lambda label: (shares[label], label))[: max(LEAST, unreached)]
    named = ", ".join(f"{label} {number(shares[label])}" for label in least)
    return [f"Solved least by random programs searching alone: {named}."] if named else []


def _most(rounds: list[evolution_pb2.RoundReport]) -> dict[str, float]:
    """The largest share that some round solved of each module."""
    shares: dict[str, float] = {}
    for report in rounds:
        for label, solved in report.solved_by_label.items():
            if label:
                shares[label] = max(shares.get(label, 0.0), solved)
    return shares


def _without_right_answer(run: evolution_pb2.Run) -> list[str]:
    """Of the last measurement of every kind, the modules without a right answer."""
    said, complete = [], []
    for column in series(run).values():
        last = column[-1]
        if not last.made.by_label:
            continue
        which = f"{last.made.name} of round {title(last.report)}"
        missed = sorted(label for label, share in last.made.by_label.items() if share == 0.0)
        if missed:
            many = a_module(last.made.problems, len(last.made.by_label))
            said.append(
                f"No right answer in {which} ({last.made.problems} problems, {many}): "
                f"{', '.join(missed)}."
            )
        else:
            complete.append(which)
    if complete:
        said.append(f"A right answer in every module: {', '.join(complete)}.")
    return said

"""A model card from a checkpoint's manifest and the runs there are: what was recorded, no more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rstar.v1 import evolution_pb2
from rstar_cli.runpage.cells import measured, searched_with

MANIFEST = "manifest.json"
CARD = "README.md"

_WHAT = {
    "policy": (
        "Proposes the next step of a solution as a comment and Python code; served by"
        " `rstar-policy`."
    ),
    "ppm": (
        "Process preference model: scores a partial solution in [-1, 1], read at the last token"
        " of a step; served by `rstar-ppm`."
    ),
}

_MEANING = {
    "problems": "problems whose search trees were read",
    "solved_problems": "of them with a right trajectory",
    "examples": "right trajectories kept",
    "disowned_trajectories": "right answers left out, for their program disagrees with its likes",
    "training_examples": "examples trained on, variants (other names and numbers) included",
    "variants_left_out": "variants that asked an evaluation question",
    "trained_tokens": "tokens trained on, repetitions included",
    "held_out_loss": "loss on questions kept from training",
    "held_out_exact": "share of them whose program greedy decoding repeats exactly",
    "given_examples": "of the examples, those of files that nobody here checked",
    "given_groups": "of the groups, those of files that nobody here checked",
    "pairs": "preference pairs",
    "repeated_pairs": "pairs that another tree has as well, left out",
    "variants_of_each": "variants made of each example or group, those left out included",
    "agreement_filter": "1: right answers by programs that fail on other problems were left out",
    "loss": "of the last steps of the training",
    "steps": "of the training",
    "groups_with_variants": "groups trained on, variants (other names and digits) included",
    "pair_accuracy": "share of unseen pairs ordered rightly",
    "step_pair_accuracy": "the same, steps only",
    "final_pair_accuracy": "the same, whole trajectories only",
}


def write_card(directory: Path, runs: Sequence[evolution_pb2.Run] = ()) -> bool:
    """Write the card of the checkpoint in a directory; False if it has no manifest.

    Runs that made or measured it tell their rounds, seeds and what they measured.
    """
    path = directory / MANIFEST
    if not path.is_file():
        return False
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    (directory / CARD).write_text(card(manifest, runs), encoding="utf-8")
    return True


def card(manifest: Mapping[str, Any], runs: Sequence[evolution_pb2.Run] = ()) -> str:
    """The card as Markdown."""
    version = manifest["version"]
    metrics: Mapping[str, float] = manifest.get("metrics", {})
    made = datetime.fromtimestamp(float(manifest["created_at"]), UTC)
    lines = [
        f"# `{version}`",
        "",
        _WHAT.get(manifest["model"], ""),
        "",
        "| | |",
        "|---|---|",
        f"| made | {made:%Y-%m-%d}, by the trainer service |",
        *(f"| in | {origin} |" for origin in _origins(version, runs)),
        f"| from | {_listed(manifest.get('parents'), 'random weights')} |",
        f"| taught by the searches of | {_listed(manifest.get('batch_ids'), 'none')} |",
    ]
    if manifest.get("prompt_format"):
        lines.append(f"| prompt format | {manifest['prompt_format']} |")
    if "parameters" in metrics:
        lines.append(f"| parameters | {metrics['parameters'] / 1e6:.2f} M |")
    if rows := list(_measurements(version, runs)):
        lines += [
            "",
            "## Measured",
            "Answers judged equal to the references, mean over labels, ± half of the 95 %"
            " interval.",
            "",
            "| in | evaluation | search | policy | PPM | accuracy | by difficulty |",
            "|---|---|---|---|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in rows),
        ]
    lines += ["", "## Metrics of its training", "", "| metric | value | |", "|---|---|---|"]
    lines += [
        f"| {name} | {_number(value)} | {_MEANING.get(name, '')} |"
        for name, value in sorted(metrics.items())
    ]
    lines += ["", "## Limits", "It knows what it was taught and nothing else."]
    if not rows:
        lines[-1] += (
            " How it does on problems it was not taught is not in this card: measure it"
            " (`rstar eval`)."
        )
    return "\n".join([*lines, ""])


def _origins(version: str, runs: Sequence[evolution_pb2.Run]) -> Iterator[str]:
    """Where it was made, for whoever wants to make it again."""
    for run in runs:
        for report in _own(run):
            if version in (report.policy_version, report.ppm_version):
                yield (
                    f"round {report.round} of run `{run.run_id}`, seed {run.recipe.seed}; SHA-256"
                    f" of the recipe {run.recipe_digest[:12]}"
                )


def _measurements(version: str, runs: Sequence[evolution_pb2.Run]) -> Iterator[tuple[str, ...]]:
    for run in runs:
        for report in _own(run):
            for one in report.evaluations:
                if version not in (one.policy_version, one.ppm_version):
                    continue
                yield (
                    f"{run.run_id}, round {report.round}",
                    one.name,
                    searched_with(run.recipe.rounds[report.round], one.name),
                    one.policy_version,
                    one.ppm_version or "none",
                    measured(one),
                    "; ".join(
                        f"{name} {measured(one.by_level[name])}" for name in sorted(one.by_level)
                    ),
                )


def _own(run: evolution_pb2.Run) -> Iterator[evolution_pb2.RoundReport]:
    """The rounds a run trained and measured itself: a branch repeats those before its own."""
    return (
        report
        for report in run.rounds
        if not run.HasField("branch") or report.round >= run.branch.round
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"


def _listed(names: list[str] | None, none: str) -> str:
    return ", ".join(f"`{name}`" for name in names) if names else none

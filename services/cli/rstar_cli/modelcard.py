"""A model card from a checkpoint's own manifest: nothing in it that was not recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
    "trained_tokens": "tokens trained on, repetitions included",
    "held_out_loss": "loss on questions kept from training",
    "held_out_exact": "share of them whose program greedy decoding repeats exactly",
    "given_examples": "of the examples, those of files that nobody here checked",
    "given_groups": "of the groups, those of files that nobody here checked",
    "pairs": "preference pairs",
    "groups_with_variants": "groups trained on, variants (other names and digits) included",
    "pair_accuracy": "share of unseen pairs ordered rightly",
    "step_pair_accuracy": "the same, steps only",
    "final_pair_accuracy": "the same, whole trajectories only",
}


def write_card(directory: Path) -> bool:
    """Write the card of the checkpoint in a directory; False if it has no manifest."""
    path = directory / MANIFEST
    if not path.is_file():
        return False
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    (directory / CARD).write_text(card(manifest), encoding="utf-8")
    return True


def card(manifest: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    metrics: Mapping[str, float] = manifest.get("metrics", {})
    made = datetime.fromtimestamp(float(manifest["created_at"]), UTC)
    lines = [
        f"# `{manifest['version']}`",
        "",
        _WHAT.get(manifest["model"], ""),
        "",
        "| | |",
        "|---|---|",
        f"| made | {made:%Y-%m-%d}, by the trainer service |",
        f"| from | {_listed(manifest.get('parents'), 'random weights')} |",
        f"| taught by the searches of | {_listed(manifest.get('batch_ids'), 'none')} |",
    ]
    if manifest.get("prompt_format"):
        lines.append(f"| prompt format | {manifest['prompt_format']} |")
    if "parameters" in metrics:
        lines.append(f"| parameters | {metrics['parameters'] / 1e6:.2f} M |")
    lines += ["", "## Metrics of its training", "", "| metric | value | |", "|---|---|---|"]
    lines += [
        f"| {name} | {value:.4g} | {_MEANING.get(name, '')} |"
        for name, value in sorted(metrics.items())
    ]
    lines += [
        "",
        "## Limits",
        "It knows what it was taught and nothing else. How it does on problems it was not"
        " taught is not in this card: measure it (`rstar eval`).",
        "",
    ]
    return "\n".join(lines)


def _listed(names: list[str] | None, none: str) -> str:
    return ", ".join(f"`{name}`" for name in names) if names else none

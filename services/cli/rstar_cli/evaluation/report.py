"""The report of an evaluation: a Markdown table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rstar_cli.evaluation.versions import named, remarks

_RULES = {
    "selected": "selected",
    "majority": "majority",
    "weighted_majority": "weighted majority",
    "best_ppm": "best PPM",
}


def markdown(name: str, question: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> str:
    """The whole report."""
    problems = arms[0]["problems"] if arms else 0
    answered = _escape(named(question["versions"]))
    parts = [
        f"# {name}\n",
        f"{problems} problems of {question['set']}{answered and f', answered by {answered}'}. "
        "Accuracy in per cent with 95 % Wilson intervals; an answer is right only if the sandbox "
        "judged it equal.\n",
        *(f"{_escape(said)}\n" for said in remarks(question["versions"], question["served"])),
        *(_equal_tokens(table) for table in question["equal_tokens"]),
        "## Every arm\n",
        _table(arms),
        _notes(arms),
    ]
    labels = {label: None for arm in arms for label in arm["by"]}
    parts += [_breakdown(arms, label) for label in labels]
    parts.append("![accuracy against generated tokens](accuracy.svg)\n")
    return "\n".join(parts)


def _table(arms: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| search | answer | accuracy | pass@1 | pass@N | N | tokens a problem | sandbox s | "
        "s a problem | wall s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        cost = arm["cost_a_problem"]
        for index, (rule, share) in enumerate(arm["accuracy"].items()):
            shared = (
                pass_at(arm, 1),
                pass_at(arm, arm["trajectories"]),
                str(arm["trajectories"]),
                f"{cost.get('generated_tokens', 0):,.0f}",
                f"{cost.get('sandbox_seconds', 0):.2f}",
                f"{cost.get('wall_seconds', 0):.2f}",
                f"{arm['wall_seconds']:.1f}",
            )
            cells = (
                _escape(arm["arm"]) if not index else "",
                _RULES[rule],
                _interval(share),
                *(shared if not index else ("",) * len(shared)),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def pass_at(arm: Mapping[str, Any], tries: int) -> str:
    """A cell: pass@k in per cent; a dash if no tree was there to tell."""
    share = arm["pass_at"].get(str(tries))
    return _percent(share["value"]) if share else "-"


def _equal_tokens(table: Mapping[str, Any]) -> str:
    """Every strategy beside one tree search."""
    lines = [
        f"## At equal tokens: {table['of']}\n",
        "| strategy | size | accuracy | against the tree, points | holds a right answer | "
        "tokens a problem | of the tree's |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        cells = (
            _escape(row["strategy"]),
            str(row["size"]),
            _interval(row["accuracy"]),
            "" if row["strategy"] == "mcts" else _interval(row["against_tree"], signed=True),
            _percent(row["holds_right"]["value"]) if row["holds_right"] else "-",
            f"{row['tokens_a_problem']:,.0f}",
            f"{100 * row['tokens_of_tree']:.1f} %",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(
        "\nSize: samples, width of the beam, or trees. Differences are paired, on the same "
        "problems: an interval that holds 0 tells nothing apart. *holds a right answer*: some "
        "finished trajectory was right, whether it was chosen or not."
    )
    return "\n".join(lines) + "\n"


def _notes(arms: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "pass@k is unbiased for independent samples; the trajectories of one tree are not, and "
        "there it says what the tree holds. `selected` is the searcher's own choice; the other "
        "rules read the same trajectories."
    ]
    for arm in arms:
        if arm["baseline_of"]:
            lines.append(
                f"`{arm['arm']}`: size {arm['trajectories']}, "
                f"{100 * arm['token_ratio']:.1f} % of the tokens of `{arm['baseline_of']}`."
            )
        if pairs := arm["ppm_pairs"]["pairs"]:
            preferred = arm["ppm_pairs"]["right_preferred"]
            lines.append(
                f"`{arm['arm']}`: of {pairs} pairs of a right and a wrong answer to one problem "
                f"the PPM prefers the right one in {preferred} ({100 * preferred / pairs:.0f} %; "
                "50 is chance)."
            )
        if exhausted := arm["ended_by"].get("EXHAUSTED", 0):
            lines.append(
                f"`{arm['arm']}`: {exhausted} of {arm['problems']} searches ended because "
                "nothing was left to expand, before their rollouts were used."
            )
        if arm["undecided"] or arm["dead"]:
            lines.append(
                f"`{arm['arm']}`: {arm['undecided']} answers undecided, "
                f"{arm['dead']} problems without a result."
            )
        if arm["trees_gone"]:
            lines.append(trees_gone(arm))
    return "\n\n".join(lines) + "\n"


def trees_gone(arm: Mapping[str, Any]) -> str:
    """What an arm's figures lack, as a sentence."""
    return (
        f"`{arm['arm']}`: the trees of {arm['trees_gone']} of {arm['problems']} searches were no "
        "longer kept when they were read. Their answers count; what the tries tell (pass@k, pairs, "
        "right answers held) is of the others."
    )


def _breakdown(arms: Sequence[Mapping[str, Any]], label: str) -> str:
    """The searchers' own choice, a line a group and a column an arm."""
    having = [arm for arm in arms if label in arm["by"]]
    names = [_escape(arm["arm"]) for arm in having]
    lines = [
        f"## By {label}\n",
        f"| {label} | problems | {' | '.join(names)} |",
        "|---|---|" + "---|" * len(names),
    ]
    for group, counted in having[0]["by"][label].items():
        shares = [_interval(arm["by"][label][group]) for arm in having]
        name = _escape(group) or "(none)"
        lines.append(f"| {name} | {counted['problems']} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


def _interval(share: Mapping[str, Any], *, signed: bool = False) -> str:
    low, value, high = (
        f"{100 * share[end]:+.1f}" if signed else _percent(share[end])
        for end in ("low", "value", "high")
    )
    return f"{value} ({low} to {high})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _escape(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())

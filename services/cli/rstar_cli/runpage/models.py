"""Tables of the models that rounds trained: what they learned from, and what the PPM can tell."""

from __future__ import annotations

from collections.abc import Mapping

from rstar.v1 import evolution_pb2
from rstar_cli.runpage.cells import DEPENDENT, NOT_MEASURED, disowned, estimated, metric, title
from rstar_cli.runpage.table import Table

PPM_METRICS = (
    ("step pairs", "step_pair_accuracy"),
    ("whole trajectories", "final_pair_accuracy"),
    ("all pairs", "pair_accuracy"),
)

LEFT_OUT = "variants_left_out"
"""A metric of either model, and of none before evaluation questions were looked for in variants."""


def ppm_table(run: evolution_pb2.Run) -> Table:
    """Pairs of questions that the PPM has not learned."""
    return Table(
        "PPM: pairs of unseen questions ordered rightly",
        ("round", *(f"{name} {DEPENDENT}" for name, _ in PPM_METRICS)),
        [
            [title(report), *(_pairs(report.ppm_metrics, name) for _, name in PPM_METRICS)]
            for report in run.rounds
            if report.ppm_metrics
        ],
        "Share of pairs, its 95 % interval and their number, on the twentieth of the questions "
        "that neither the PPM nor the policy it starts from has learned.",
    )


def data_table(run: evolution_pb2.Run) -> Table:
    """How much there was to learn from, and how much of it was learned."""
    trained = [one for one in run.rounds if one.policy_metrics or one.ppm_metrics]
    policies = any(LEFT_OUT in report.policy_metrics for report in trained)
    ppms = any(LEFT_OUT in report.ppm_metrics for report in trained)
    note = (
        "Disowned: right answers refused because their program fails on other problems of their "
        "kind. It estimates the false positives; no person has read them. Variants have other "
        "names and numbers, those of examples other quotes too; they were not executed."
    )
    if policies or ppms:
        note += " Variants left out asked an evaluation question."
    return Table(
        "Data",
        (
            *("round", "right trajectories", "disowned", "SFT examples", "with variants"),
            *(("variants left out",) if policies else ()),
            *("trained tokens", "held-out loss", "PPM groups", "with their variants"),
            *(("their variants left out",) if ppms else ()),
            "pairs",
        ),
        [_data_row(report, policies=policies, ppms=ppms) for report in trained],
        note,
    )


def _data_row(report: evolution_pb2.RoundReport, *, policies: bool, ppms: bool) -> list[str]:
    policy, ppm = report.policy_metrics, report.ppm_metrics
    return [
        title(report),
        metric(policy, "right_trajectories"),
        disowned(policy),
        metric(policy, "examples"),
        metric(policy, "training_examples"),
        *((metric(policy, LEFT_OUT),) if policies else ()),
        metric(policy, "trained_tokens"),
        metric(policy, "held_out_loss"),
        metric(ppm, "groups"),
        metric(ppm, "groups_with_variants"),
        *((metric(ppm, LEFT_OUT),) if ppms else ()),
        metric(ppm, "pairs"),
    ]


def _pairs(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return NOT_MEASURED
    pairs = round(metrics.get(f"{name}_pairs", 0))
    return estimated(round(metrics[name] * pairs), pairs)

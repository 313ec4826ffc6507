"""The card beside a checkpoint."""

from __future__ import annotations

import json

from rstar.v1 import evolution_pb2, types_pb2
from rstar_cli.modelcard import write_card

MANIFEST = {
    "model": "policy",
    "version": "policy-abc",
    "created_at": 1795232112.9,
    "parents": [],
    "batch_ids": ["mini/r0/search"],
    "prompt_format": "mini",
    "metrics": {"examples": 1053.0, "parameters": 3475712.0, "unheard_of": 0.5},
}


def test_a_card_says_what_the_manifest_says(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert write_card(tmp_path)
    text = (tmp_path / "README.md").read_text()
    for fact in ("policy-abc", "random weights", "`mini/r0/search`", "3.48 M", "2026-11-", "0.5"):
        assert fact in text
    assert "| examples | 1,053 | right trajectories kept |" in text


def test_there_is_no_card_without_a_manifest(tmp_path):
    assert not write_card(tmp_path)
    assert not (tmp_path / "README.md").exists()


def test_a_card_says_where_a_model_was_made_and_how_it_did(tmp_path):
    run = evolution_pb2.Run(run_id="mini", recipe_digest="0123456789abcdef")
    run.recipe.seed = 7
    greedy = run.recipe.rounds.add().evaluations.add(name="greedy")
    greedy.search.strategy = types_pb2.STRATEGY_GREEDY
    report = run.rounds.add(policy_version="policy-abc", ppm_version="ppm-abc")
    told = report.evaluations.add(
        name="greedy", policy_version="policy-abc", accuracy=0.5, half_interval=0.1, problems=60
    )
    told.by_level["hard"].problems, told.by_level["hard"].accuracy = 30, 0.25
    report.evaluations.add(name="of another", policy_version="policy-def", problems=99)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert write_card(tmp_path, [run])
    text = (tmp_path / "README.md").read_text()
    assert "round 0 of run `mini`, seed 7; SHA-256 of the recipe 0123456789ab" in text
    assert (
        "| mini, round 0 | greedy | greedy | policy-abc | none | 0.500 ± 0.100 (n = 60)"
        " | hard 0.250 ± 0.000 (n = 30) |"
    ) in text
    assert "of another" not in text
    assert "measure it" not in text
    assert "Answers judged equal to the references, mean over labels" in text


def test_a_branch_neither_made_nor_measured_what_it_took_over(tmp_path):
    source = evolution_pb2.Run(run_id="mini")
    report = source.rounds.add(policy_version="policy-abc")
    report.evaluations.add(name="greedy", policy_version="policy-abc", problems=60)
    source.recipe.rounds.add()
    branch = evolution_pb2.Run()
    branch.CopyFrom(source)  # as `rstar evolve --branch mini:1` does
    branch.run_id = "branch"
    branch.branch.run_id, branch.branch.round = "mini", 1
    branch.recipe.rounds.add()
    own = branch.rounds.add(round=1, policy_version="policy-def")
    own.evaluations.add(name="before", policy_version="policy-abc", problems=60)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert write_card(tmp_path, [source, branch])
    text = (tmp_path / "README.md").read_text()
    assert text.count("| in | round") == text.count("round 0 of run `mini`") == 1
    assert text.count("| greedy |") == 1
    assert "| mini, round 0 | greedy |" in text
    assert "| branch, round 1 | before |" in text  # its own, whichever model it measured


def test_a_round_that_a_branch_trained_itself_is_its_own(tmp_path):
    branch = evolution_pb2.Run(run_id="branch")
    branch.branch.run_id = "mini"  # at its first round, which is 0
    branch.recipe.rounds.add()
    branch.rounds.add(policy_version="policy-abc")
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert write_card(tmp_path, [branch])
    assert "round 0 of run `branch`" in (tmp_path / "README.md").read_text()

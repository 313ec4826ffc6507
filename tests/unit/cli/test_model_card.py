"""The card beside a checkpoint."""

from __future__ import annotations

import json

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
    assert "| examples | 1053 | right trajectories kept |" in text


def test_there_is_no_card_without_a_manifest(tmp_path):
    assert not write_card(tmp_path)
    assert not (tmp_path / "README.md").exists()

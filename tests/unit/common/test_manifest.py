"""A manifest is read by the release before and by the release after."""

from __future__ import annotations

import json

import pytest

from rstar_common.checkpoints import Manifest, describe
from rstar_common.errors import InvalidInput

BEFORE = {
    "model",
    "version",
    "prompt_format",
    "files",
    "parents",
    "batch_ids",
    "metrics",
    "created_at",
}
"""All that a reader of the release before knows; it refuses any other field."""


def test_what_a_checkpoint_was_made_from_is_read_as_it_was_written(tmp_path):
    (tmp_path / "model").write_bytes(b"weights")
    manifest = describe(
        tmp_path,
        model="ppm",
        prompt_format="mini",
        data_digests=("1" * 64,),
        origin="run mini, round 1, recipe 0123456789ab",
    )
    content = json.loads(manifest.to_json())
    assert content["data_digests"] == ["1" * 64]
    assert content["origin"] == "run mini, round 1, recipe 0123456789ab"
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_manifest_without_what_is_new_is_one_that_the_release_before_reads(tmp_path):
    (tmp_path / "model").write_bytes(b"weights")
    manifest = describe(tmp_path, model="ppm", prompt_format="mini")
    assert set(json.loads(manifest.to_json())) == BEFORE
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_what_a_later_release_adds_is_passed_over():
    known = Manifest(model="ppm", version="ppm-1", prompt_format="mini", files={"a": "0"})
    later = json.loads(known.to_json()) | {"cost_seconds": 7.0}
    assert Manifest.from_json(json.dumps(later).encode()).to_json() == known.to_json()


@pytest.mark.parametrize("data", [b"{}", b"[]", b"7", b"null", b'{"model": "ppm"}', b"\xff"])
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(InvalidInput, match="not a checkpoint manifest"):
        Manifest.from_json(data)

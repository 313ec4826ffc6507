"""Files that `rstar train` is given: stored, and named to the trainer by their digest."""

from __future__ import annotations

import hashlib

import pytest

from rstar_common.artifacts import ObjectStore, given_key
from tests.support.training_listener import Listener, train


@pytest.mark.parametrize(
    ("model", "option"), [("policy", "--examples"), ("ppm", "--pairs")], ids=["policy", "ppm"]
)
async def test_a_given_file_is_stored_and_ordered_by_its_digest(
    tmp_path, object_store_settings, model, option
):
    data = b'[{"query": "q", "response": "r"}]'
    (tmp_path / "given.json").write_bytes(data)
    store, listener = object_store_settings, Listener()
    status, stderr = await train(
        listener,
        tmp_path,
        *(model, option, str(tmp_path / "given.json"), "--max-length", "4096"),
        RSTAR_CLI_OBJECT_STORE__ENDPOINT=store.endpoint,
        RSTAR_CLI_OBJECT_STORE__BUCKET=store.bucket,
        RSTAR_CLI_OBJECT_STORE__ACCESS_KEY=store.access_key.get_secret_value(),
        RSTAR_CLI_OBJECT_STORE__SECRET_KEY=store.secret_key.get_secret_value(),
    )
    assert status == 0, stderr
    [request] = listener.heard
    digest = hashlib.sha256(data).hexdigest()
    job = getattr(request, f"train_{model}")
    assert list(job.data_digests) == [digest]
    assert job.training.max_length == 4096
    assert not job.batch_ids
    assert await ObjectStore(store).get(given_key(digest)) == data

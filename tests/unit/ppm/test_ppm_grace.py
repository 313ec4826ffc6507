"""A version that was replaced answers those who name it until the grace has passed."""

from __future__ import annotations

import pytest

from rstar_common.errors import NotFound, Unavailable
from rstar_common.formats import MINI, Encoder
from rstar_ppm.versions import ServedVersion, Versions
from tests.support.eventually import eventually
from tests.support.policy_model import mini_tokenizer

ENCODER = Encoder(mini_tokenizer(), MINI)


class NoModel:
    """Never asked."""

    max_length = 1
    vocabulary_size = 1

    def score(self, calls):
        raise AssertionError("nothing is scored here")


def served(version: str) -> ServedVersion:
    return ServedVersion(version=version, encoder=ENCODER, model=NoModel())


async def test_the_old_version_stays_for_the_grace_and_is_gone_afterwards():
    versions = Versions(grace_seconds=0.02)
    with pytest.raises(Unavailable):
        versions.find("")
    versions.promote(served("first"))
    versions.promote(served("second"))
    # Timers fire in the loop, and nothing was awaited since.
    assert versions.find("first").version == "first"
    assert versions.find("").version == "second"
    assert versions.names == ["second", "first"]
    await eventually(lambda: versions.names == ["second"])
    with pytest.raises(NotFound):
        versions.find("first")


async def test_a_version_that_is_promoted_again_does_not_retire():
    versions = Versions(grace_seconds=0.02)
    for version in ("first", "second", "first"):
        versions.promote(served(version))
    await eventually(lambda: versions.names == ["first"])
    assert versions.find("").version == "first"


async def test_within_the_grace_nothing_is_gone():
    versions = Versions(grace_seconds=600)
    for version in ("first", "second", "third"):
        versions.promote(served(version))
    assert versions.names == ["third", "first", "second"]
    versions.close()

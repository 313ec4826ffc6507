"""Which versions the replicas of a service answer with."""

from __future__ import annotations

from typing import Any, cast

import pytest

from rstar.v1 import policy_pb2, ppm_pb2
from rstar_common.errors import InvalidInput
from rstar_trainer.evolution.tiers import Tiers


class Replica:
    """Answers with one version, as a policy and as a PPM."""

    def __init__(self, version: str, engine: str = "sglang") -> None:
        self._version = version
        self._engine = engine

    async def GetPolicyInfo(self, request, **options):
        return policy_pb2.GetPolicyInfoResponse(policy_version=self._version, engine=self._engine)

    async def GetPpmInfo(self, request, **options):
        return ppm_pb2.GetPpmInfoResponse(ppm_version=self._version)


def tiers(*replicas: Replica) -> Tiers:
    nothing = cast("Any", None)
    return Tiers(
        nothing, nothing, batches=nothing, policies=replicas, ppms=replicas, sandbox=nothing
    )


@pytest.mark.parametrize("model", ["policy", "ppm"])
async def test_every_replica_is_asked(model):
    assert await tiers(Replica("a"), Replica("b"), Replica("a")).served(model) == {"a", "b"}


async def test_random_programs_have_no_version_of_their_own():
    assert await tiers(Replica("", engine="bootstrap")).served("policy") == {"bootstrap"}


async def test_a_run_that_needs_a_ppm_says_what_is_not_set():
    with pytest.raises(InvalidInput, match="is not set") as refused:
        await tiers().served("ppm")
    assert refused.value.field == "ppm_address"

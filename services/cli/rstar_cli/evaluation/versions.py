"""Which models answered the searches of an evaluation, and which are served now.

Figures are those of the models that answered: what other ones began is not gone on with. A tier
that cannot be asked is not compared: a system elsewhere whose policy or PPM the environment does
not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rstar.v1 import policy_pb2, policy_pb2_grpc, ppm_pb2, ppm_pb2_grpc
from rstar_cli.connection import Endpoints
from rstar_cli.evaluation.record import Record
from rstar_common.rpc import call

TIERS = {"policy": "policy", "ppm": "PPM"}
"""Tiers that have models, and what people call them."""

_SECONDS = 30.0

Versions = Mapping[str, Sequence[str]]
"""The versions of each tier; an empty one says that there is no model."""


async def served_by(where: Endpoints) -> dict[str, list[str]]:
    """The versions that answer now, of the tiers that can be asked.

    Raises:
        RstarError: one of them does not answer.
    """
    served = {}
    if where.policy:
        async with where.dial("policy") as wire:
            policy = policy_pb2_grpc.PolicyServiceStub(wire)
            asked = policy_pb2.GetPolicyInfoRequest()
            info = await call(policy.GetPolicyInfo(asked, timeout=_SECONDS, wait_for_ready=True))
            served["policy"] = [info.policy_version]
    if where.ppm:
        async with where.dial("ppm") as wire:
            ppm = ppm_pb2_grpc.PpmServiceStub(wire)
            request = ppm_pb2.GetPpmInfoRequest()
            told = await call(ppm.GetPpmInfo(request, timeout=_SECONDS, wait_for_ready=True))
            served["ppm"] = [told.ppm_version]
    elif not where.is_remote:
        served["ppm"] = [""]
    return served


def answered_by(records: Iterable[Record]) -> dict[str, list[str]]:
    """The versions of every tier that was asked."""
    found: dict[str, set[str]] = {}
    for record in records:
        for tier, version in record.versions.items():
            found.setdefault(tier, set()).add(version)
    return {tier: sorted(versions) for tier, versions in sorted(found.items())}


def differ(answered: Versions, served: Versions) -> bool:
    """Whether any search was answered by another model than the one that is served."""
    asked = TIERS.keys() & served.keys()
    return any(set(answered.get(tier, ())) - set(served[tier]) for tier in asked)


def mixed(answered: Versions) -> bool:
    """Whether two models of one tier answered."""
    return any(len(answered.get(tier, ())) > 1 for tier in TIERS)


def named(versions: Versions) -> str:
    """For people: `policy policy-1a2b, PPM ppm-3c4d`; nothing of other tiers."""
    return ", ".join(
        f"{name} {' and '.join(versions[tier])}" if any(versions[tier]) else f"no {name}"
        for tier, name in TIERS.items()
        if tier in versions
    )


def remarks(answered: Versions, served: Versions) -> list[str]:
    """What must be known of the models to read the figures, a sentence each."""
    said = []
    if mixed(answered):
        said.append(
            f"The searches were not all answered by the same models ({named(answered)}): "
            "figures of them together are those of none."
        )
    if differ(answered, served):
        said.append(
            f"These are the figures of {named(answered)}. Served when this was written: "
            f"{named(served)}; to measure that, choose another --name."
        )
    return said

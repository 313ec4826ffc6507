"""Who may read and write what in the object store: one table, as `nats_roles` is for NATS.

    python -m rstar_common.store_roles > infra/compose/s3-identities.json.in
    python -m rstar_common.store_roles --tenant team-a --tenant team-b > identities.json
    python -m rstar_common.store_roles --policy publisher-team-a --bucket rstar > policy.json

A role names prefixes of `artifacts`. It is written as SeaweedFS wants its identities and as
the policy document that AWS and MinIO want; both allow what the table says and nothing else.
The sandbox has no role: it never speaks to the store. A tenant has a place of its own in the inbox.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rstar_common.artifacts import DATASETS, INBOX, PROBE
from rstar_common.nats_roles import TENANT_PREFIX
from rstar_common.tenancy import check_tenant

OPERATOR = "rstar"
"""May do everything: makes the bucket, backs up, repairs. No service uses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRole:
    """What one kind of client does in the bucket. Every one may read the probe."""

    identity: str
    reads: tuple[str, ...] = ()
    """Prefixes under which it reads and lists."""

    writes: tuple[str, ...] = ()
    """Prefixes under which it also writes."""

    def actions(self, bucket: str) -> list[str]:
        """As SeaweedFS wants it."""
        readable = (PROBE, *self.reads, *self.writes)
        return [
            *(f"{verb}:{bucket}/{prefix}*" for verb in ("Read", "List") for prefix in readable),
            *(f"Write:{bucket}/{prefix}*" for prefix in self.writes),
        ]

    def policy(self, bucket: str) -> dict[str, object]:
        """As AWS and MinIO want it."""
        arn = f"arn:aws:s3:::{bucket}"
        readable = [f"{prefix}*" for prefix in (PROBE, *self.reads, *self.writes)]
        statements: list[dict[str, object]] = [
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [arn],
                "Condition": {"StringLike": {"s3:prefix": readable}},
            },
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": [f"{arn}/{prefix}" for prefix in readable],
            },
        ]
        if self.writes:
            statements.append(
                {
                    "Effect": "Allow",
                    "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
                    "Resource": [f"{arn}/{prefix}*" for prefix in self.writes],
                }
            )
        return {"Version": "2012-10-17", "Statement": statements}


ROLES = (
    StoreRole(identity="searcher", reads=(INBOX,), writes=("trees/",)),
    # It writes trees when the archive of a run is imported.
    StoreRole(identity="trainer", writes=("checkpoints/", DATASETS, "evolution/", "trees/", INBOX)),
    StoreRole(identity="policy", reads=("checkpoints/policy/",)),
    StoreRole(identity="ppm", reads=("checkpoints/ppm/",)),
    StoreRole(identity="publisher", writes=(INBOX,)),
    StoreRole(identity="observer", reads=("trees/", "evolution/", DATASETS)),
)

IDENTITIES = tuple(role.identity for role in ROLES)


def tenant_role(tenant: str) -> StoreRole:
    """A publisher who sees one tenant's part of the inbox and no other."""
    return StoreRole(identity=f"{TENANT_PREFIX}{tenant}", writes=(f"{INBOX}{tenant}/",))


def identities(
    keys: Mapping[str, tuple[str, str]], bucket: str, *, tenants: Sequence[str] = ()
) -> str:
    """SeaweedFS's `-s3.config`: everybody's keys and actions, the operator's first."""
    roles = (*ROLES, *map(tenant_role, tenants))
    actions = {OPERATOR: ["Admin"]} | {role.identity: role.actions(bucket) for role in roles}
    return json.dumps(
        {
            "identities": [
                {
                    "name": name,
                    "credentials": [{"accessKey": keys[name][0], "secretKey": keys[name][1]}],
                    "actions": allowed,
                }
                for name, allowed in actions.items()
            ]
        },
        indent=1,
    )


def variables(identity: str) -> tuple[str, str]:
    """The variables that hold an identity's keys where the environment brings them."""
    prefix = "S3" if identity == OPERATOR else f"S3_{identity.upper().replace('-', '_')}"
    return f"{prefix}_ACCESS_KEY", f"{prefix}_SECRET_KEY"


def main() -> None:
    """Write the identities with the name of a variable in place of each key, or one's policy."""
    parser = argparse.ArgumentParser(prog="python -m rstar_common.store_roles")
    parser.add_argument("--tenant", action="append", default=[], help="repeatable")
    parser.add_argument("--policy", metavar="IDENTITY", help="the document for AWS and MinIO")
    parser.add_argument("--bucket", default="rstar")
    options = parser.parse_args()
    if options.policy:
        tenant = options.policy.removeprefix(TENANT_PREFIX)
        roles = {role.identity: role for role in ROLES}
        role = roles.get(options.policy) or tenant_role(check_tenant(tenant, field="--policy"))
        sys.stdout.write(json.dumps(role.policy(options.bucket), indent=1) + "\n")
        return
    tenants = [check_tenant(name, field="--tenant") for name in options.tenant]
    names = (OPERATOR, *IDENTITIES, *(tenant_role(tenant).identity for tenant in tenants))
    keys = {name: variables(name) for name in names}
    sys.stdout.write(identities(keys, options.bucket, tenants=tenants) + "\n")


if __name__ == "__main__":
    main()

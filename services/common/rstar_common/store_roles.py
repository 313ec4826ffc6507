"""Who may read and write what in the object store: one table, as `nats_roles` is for NATS.

    python -m rstar_common.store_roles > infra/compose/s3-identities.json.in

A role names prefixes of `artifacts`. It is written as SeaweedFS wants its identities and as
the policy document that AWS and MinIO want; both allow what the table says and nothing else.
The sandbox has no role: it never speaks to the store.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from rstar_common.artifacts import INBOX, PROBE

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
    StoreRole(
        identity="trainer", writes=("checkpoints/", "datasets/", "evolution/", "trees/", INBOX)
    ),
    StoreRole(identity="policy", reads=("checkpoints/policy/",)),
    StoreRole(identity="ppm", reads=("checkpoints/ppm/",)),
    StoreRole(identity="publisher", writes=(INBOX,)),
    StoreRole(identity="observer", reads=("trees/", "evolution/", "datasets/")),
)

IDENTITIES = tuple(role.identity for role in ROLES)


def identities(keys: Mapping[str, tuple[str, str]], bucket: str) -> str:
    """SeaweedFS's `-s3.config`: everybody's keys and actions, the operator's first."""
    actions = {OPERATOR: ["Admin"]} | {role.identity: role.actions(bucket) for role in ROLES}
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
    prefix = "S3" if identity == OPERATOR else f"S3_{identity.upper()}"
    return f"{prefix}_ACCESS_KEY", f"{prefix}_SECRET_KEY"


def main() -> None:
    """Write the identities with the name of a variable in place of each key."""
    keys = {name: variables(name) for name in (OPERATOR, *IDENTITIES)}
    sys.stdout.write(identities(keys, "rstar") + "\n")


if __name__ == "__main__":
    main()

"""Each service's own credentials on one machine, derived from the operator's.

The operator's password and secret key lie in `state.json` and reach no service; what a
service is given is a keyed hash of them, so nobody can work back from one to another.
"""

from __future__ import annotations

import hashlib
import hmac

from pydantic import SecretStr

from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.nats_roles import USERS
from rstar_common.store_roles import IDENTITIES


def derived(secret: str, purpose: str) -> str:
    """A secret of 192 bits that only the holder of `secret` can make."""
    return hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256).hex()[:48]


def nats_password(operator_password: str, user: str) -> str:
    """The NATS password of one of `USERS`."""
    return derived(operator_password, f"nats/{user}")


def store_keys(operator_secret: str, identity: str) -> tuple[str, str]:
    """Access key and secret key of one of the store's identities."""
    access = derived(operator_secret, f"s3/{identity}/access")[:20]
    return access, derived(operator_secret, f"s3/{identity}/secret")


def nats_of(service: str, operator: NatsSettings) -> NatsSettings | None:
    """How a service reaches NATS; None for one that has no business there."""
    if service not in USERS:
        return None
    password = nats_password(operator.password.get_secret_value(), service)
    return operator.model_copy(update={"user": service, "password": SecretStr(password)})


def store_of(service: str, operator: ObjectStoreSettings) -> ObjectStoreSettings | None:
    """How a service reaches the store; None for one that has no business there."""
    if service not in IDENTITIES:
        return None
    access, secret = store_keys(operator.secret_key.get_secret_value(), service)
    return operator.model_copy(
        update={"access_key": SecretStr(access), "secret_key": SecretStr(secret)}
    )

"""Who may call what: signed tokens with scopes, and the scope that each method needs.

A token is a JWT (RFC 7519) signed with Ed25519, sent as a bearer token (RFC 6750). Services
hold public keys only, so whoever takes over a service cannot make tokens. A token may be
bound to a client certificate (RFC 8705): replayed over another connection it proves nothing.

    solve      SearcherService
    publish    BatchService, and judging answers afterwards
    train      TrainerService and EvolutionService
    service    policy, PPM and sandbox: what services ask of each other
    admin      everything, promotion included

A token may name a tenant: its holder then sees that tenant's batches alone and shares its quotas.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rstar_common.errors import Forbidden, InvalidInput, Unauthenticated
from rstar_common.tenancy import check_tenant

ALGORITHM = "EdDSA"
AUDIENCE = "rstar"
CLOCK_SKEW_SECONDS = 30.0

SOLVE, PUBLISH, TRAIN, SERVICE, ADMIN = "solve", "publish", "train", "service", "admin"
SCOPES = (SOLVE, PUBLISH, TRAIN, SERVICE, ADMIN)

OPEN_SERVICES = ("grpc.health.v1.Health",)
"""Probes have no token."""

_ANYONE_KNOWN = frozenset(SCOPES)

_BY_SERVICE: dict[str, frozenset[str]] = {
    "grpc.reflection.v1alpha.ServerReflection": _ANYONE_KNOWN,
    "rstar.v1.SearcherService": frozenset({SOLVE, PUBLISH, TRAIN}),
    "rstar.v1.BatchService": frozenset({PUBLISH, TRAIN}),
    "rstar.v1.TrainerService": frozenset({TRAIN}),
    "rstar.v1.EvolutionService": frozenset({TRAIN}),
    "rstar.v1.PolicyService": frozenset({SERVICE}),
    "rstar.v1.PpmService": frozenset({SERVICE}),
    "rstar.v1.SandboxService": frozenset({SERVICE}),
}

_OF_THE_HOUSE = frozenset({"rstar.v1.TrainerService", "rstar.v1.EvolutionService"})
"""What is trained on, and what comes of it, is everybody's."""

_BY_METHOD: dict[str, frozenset[str]] = {
    "rstar.v1.SearcherService/Solve": frozenset({SOLVE}),
    "rstar.v1.SearcherService/SolveStream": frozenset({SOLVE}),
    "rstar.v1.SearcherService/CancelSearch": frozenset({SOLVE}),
    "rstar.v1.TrainerService/PromoteCheckpoint": frozenset(),
    "rstar.v1.SandboxService/Judge": frozenset({SERVICE, PUBLISH, TRAIN}),
    "rstar.v1.SandboxService/GetSandboxInfo": _ANYONE_KNOWN,
    "rstar.v1.PolicyService/GetPolicyInfo": _ANYONE_KNOWN,
    "rstar.v1.PpmService/GetPpmInfo": _ANYONE_KNOWN,
}
"""Exceptions from their service's rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a token names."""

    subject: str
    scopes: frozenset[str]
    tenant: str = ""
    """Empty for the house's own."""

    def check(self, method: str) -> None:
        """Pass if the caller may call `method` (`package.Service/Method`).

        Raises:
            Forbidden: naming the scopes that would do.
        """
        wanted = scopes_of(method) | {ADMIN}
        if not self.scopes & wanted:
            raise Forbidden(f"{method} needs scope {' or '.join(sorted(wanted))}")
        if self.tenant and method.partition("/")[0] in _OF_THE_HOUSE:
            raise Forbidden(f"{method} knows no tenants: a token of {self.tenant} may not call it")


def scopes_of(method: str) -> frozenset[str]:
    """The scopes of which one is enough for `method`, beside admin; none for what is unknown."""
    service = method.partition("/")[0]
    return _BY_METHOD.get(method, _BY_SERVICE.get(service, frozenset()))


def thumbprint(certificate_pem: bytes) -> str:
    """A certificate as its tokens name it: `x5t#S256`, base64url of SHA-256."""
    first, end, _ = certificate_pem.decode().partition("-----END CERTIFICATE-----")
    der = ssl.PEM_cert_to_DER_cert(first + end)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def sign(
    private_key_pem: bytes,
    *,
    subject: str,
    scopes: Collection[str],
    seconds: float,
    certificate_pem: bytes = b"",
    tenant: str = "",
) -> str:
    """Make a token; with a certificate, it is of use only beside that.

    Raises:
        InvalidInput: an unknown scope, no scope, no lifetime, or a tenant that trains.
    """
    if unknown := set(scopes) - set(SCOPES):
        raise InvalidInput(f"unknown: {', '.join(sorted(unknown))}", field="scope")
    if not scopes or not subject or seconds <= 0:
        raise InvalidInput("a token needs a subject, a scope and a lifetime", field="token")
    now = int(time.time())
    claims: dict[str, object] = {
        "sub": subject,
        "aud": AUDIENCE,
        "scope": " ".join(sorted(scopes)),
        "iat": now,
        "exp": now + int(seconds),
    }
    if tenant and TRAIN in scopes:
        raise InvalidInput("the trainer is the house's own: not of a tenant", field="scope")
    if tenant:
        claims["tenant"] = check_tenant(tenant, field="tenant")
    if certificate_pem:
        claims["cnf"] = {"x5t#S256": thumbprint(certificate_pem)}
    return jwt.encode(claims, private_key_pem.decode(), algorithm=ALGORITHM)


class Verifier:
    """Reads tokens with the public keys it was given; several while keys are changed."""

    def __init__(self, public_keys_pem: bytes) -> None:
        """Take one or more PEM public keys, one after another.

        Raises:
            InvalidInput: there is none, or one is no Ed25519 key.
        """
        end = b"-----END PUBLIC KEY-----"
        parts = [part + end for part in public_keys_pem.split(end) if part.strip()]
        self._keys: list[Ed25519PublicKey] = []
        for part in parts:
            try:
                key = serialization.load_pem_public_key(part.strip())
            except ValueError as error:
                raise InvalidInput("not a PEM public key", field="grpc.token_keys") from error
            if not isinstance(key, Ed25519PublicKey):
                raise InvalidInput("must hold Ed25519 keys", field="grpc.token_keys")
            self._keys.append(key)
        if not self._keys:
            raise InvalidInput("holds no key", field="grpc.token_keys")

    def caller(self, authorization: str, *, certificate_pem: bytes = b"") -> Caller:
        """Who calls, by the `authorization` header and the connection's client certificate.

        Raises:
            Unauthenticated: there is no token, or it is not to be believed.
        """
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthenticated("the call carries no bearer token")
        claims = self._claims(token.strip())
        bound = claims.get("cnf")
        if bound is not None:
            wanted = bound.get("x5t#S256") if isinstance(bound, dict) else None
            if not certificate_pem or thumbprint(certificate_pem) != wanted:
                raise Unauthenticated("the token is bound to another certificate")
        return Caller(
            subject=str(claims["sub"]),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            tenant=str(claims.get("tenant", "")),
        )

    def _claims(self, token: str) -> dict[str, object]:
        for key in self._keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    audience=AUDIENCE,
                    leeway=CLOCK_SKEW_SECONDS,
                    options={"require": ["exp", "sub", "aud"]},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError as error:
                raise Unauthenticated("the token has expired") from error
            except jwt.InvalidTokenError as error:
                raise Unauthenticated("the token cannot be read") from error
        raise Unauthenticated("the token is signed by nobody we know")

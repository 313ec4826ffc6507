"""Tokens that must open nothing: each kind of wrong, with how a server must answer it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random

import grpc
import jwt

from rstar_cli.authority import Authority
from rstar_common.tokens import ADMIN, ALGORITHM, AUDIENCE, SCOPES, scopes_of, thumbprint

CLIENT, THIEF = "client", "thief"
"""Names of two certificates: tokens are bound to the first, and stolen by the second."""

REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED})
FORBIDDEN = frozenset({grpc.StatusCode.PERMISSION_DENIED})

TOKEN_SECONDS = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a call shows of its caller, and what must come of it."""

    kind: str
    certificate: str
    authorization: str | None
    wanted: frozenset[grpc.StatusCode]


class Callers:
    """Makes callers of each kind for a method."""

    def __init__(self, authority: Authority, strangers: Authority, rng: Random) -> None:
        """`strangers` is an authority that the services have never heard of."""
        self._rng = rng
        self._key = authority.path("tokens", "key").read_text()
        self._certificate = authority.path(CLIENT, "pem").read_bytes()
        self._public = authority.path("tokens", "pub").read_text()
        self._forged = strangers.token("root", [ADMIN], seconds=TOKEN_SECONDS)
        self._tokens = {
            scope: authority.token("caller", [scope], seconds=TOKEN_SECONDS, bound_to=CLIENT)
            for scope in SCOPES
        }
        self._unknown_scope = self._signed(scope="everything")
        self._nobody = self._wrong_tokens()

    def rightful(self, method: str) -> Shown:
        """A caller who may call `method`."""
        scope = next(iter(sorted(scopes_of(method))), ADMIN)
        return Shown(
            kind="generated",
            certificate=CLIENT,
            authorization=f"Bearer {self._tokens[scope]}",
            wanted=frozenset(),
        )

    def unauthenticated(self) -> Shown:
        """A caller without a token, or with one that means nothing."""
        authorization = self._rng.choice((*self._nobody, None, "spoiled", "spoiled"))
        if authorization == "spoiled":
            authorization = f"Bearer {self._spoiled(self._tokens[ADMIN])}"
        return Shown(
            kind="unauthenticated",
            certificate=CLIENT,
            authorization=authorization,
            wanted=REFUSED,
        )

    def wrongly_scoped(self, method: str) -> Shown:
        """A caller known to us who may do other things."""
        others = [s for s in SCOPES if s != ADMIN and s not in scopes_of(method)]
        tokens = [self._tokens[scope] for scope in others] + [self._unknown_scope]
        return Shown(
            kind="wrongly scoped",
            certificate=CLIENT,
            authorization=f"Bearer {self._rng.choice(tokens)}",
            wanted=FORBIDDEN,
        )

    def replayed(self) -> Shown:
        """Somebody else's token, shown over a connection of one's own."""
        token = self._rng.choice(list(self._tokens.values()))
        return Shown(
            kind="replayed", certificate=THIEF, authorization=f"Bearer {token}", wanted=REFUSED
        )

    def _wrong_tokens(self) -> list[str]:
        now = int(time.time())
        claims = {"sub": "root", "aud": AUDIENCE, "scope": ADMIN, "exp": now + 3600}
        unbound = self._signed(cnf={"x5t#S256": "AAAA"})
        return [
            "",
            "Bearer",
            "Bearer ",
            "Basic cm9vdDpyb290",
            "Bearer x.y.z",
            f"Bearer {self._forged}",
            f"Bearer {jwt.encode(claims, '', algorithm='none')}",
            # The public key taken for a shared secret: the classic confusion of algorithms.
            f"Bearer {jwt.encode(claims, self._public.encode().hex(), algorithm='HS256')}",
            f"Bearer {self._signed(exp=now - 3600)}",
            f"Bearer {self._signed(aud='another')}",
            f"Bearer {self._signed(nbf=now + 3600)}",
            f"Bearer {unbound}",
            f"Bearer {self._signed(cnf='AAAA')}",
            f"Bearer {self._signed(sub=None)}",
        ]

    def _signed(self, **changes: object) -> str:
        claims: dict[str, object] = {
            "sub": "caller",
            "aud": AUDIENCE,
            "scope": ADMIN,
            "exp": int(time.time() + TOKEN_SECONDS),
            "cnf": {"x5t#S256": thumbprint(self._certificate)},
        } | changes
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self._key, algorithm=ALGORITHM)

    def _spoiled(self, token: str) -> str:
        # Not the last character: some of its bits belong to nothing.
        place = self._rng.randrange(len(token) - 1)
        other = self._rng.choice([c for c in "AbC1_-z9" if c != token[place]])
        return token[:place] + other + token[place + 1 :]

"""Who may call what."""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
import json
import time
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from rstar.v1 import evolution_pb2, policy_pb2, ppm_pb2, sandbox_pb2, searcher_pb2, trainer_pb2
from rstar_cli.authority import Authority
from rstar_common.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from rstar_common.tokens import ADMIN, ALGORITHM, AUDIENCE, SCOPES, Verifier, scopes_of, sign

METHODS = [
    f"{service.full_name}/{method.name}"
    for module in (
        evolution_pb2, policy_pb2, ppm_pb2, sandbox_pb2, searcher_pb2, trainer_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = Authority.create(tmp_path_factory.mktemp("keys") / "authority")
    made.issue("laptop", ["laptop"], days=1)
    made.issue("other", ["other"], days=1)
    return made


@pytest.fixture(scope="module")
def verifier(authority):
    return Verifier(authority.path("tokens", "pub").read_bytes())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_rule(method):
    needs_admin_alone = method.endswith("/PromoteCheckpoint")
    assert bool(scopes_of(method)) != needs_admin_alone


@pytest.mark.parametrize(
    ("scope", "method", "allowed"),
    [
        ("solve", "rstar.v1.SearcherService/Solve", True),
        ("publish", "rstar.v1.SearcherService/Solve", False),
        ("publish", "rstar.v1.BatchService/CancelBatch", True),
        ("publish", "rstar.v1.SandboxService/Judge", True),
        ("publish", "rstar.v1.SandboxService/Execute", False),
        ("solve", "rstar.v1.PolicyService/Propose", False),
        ("service", "rstar.v1.PolicyService/Propose", True),
        ("service", "rstar.v1.TrainerService/SubmitJob", False),
        ("train", "rstar.v1.TrainerService/SubmitJob", True),
        ("train", "rstar.v1.TrainerService/PromoteCheckpoint", False),
        ("admin", "rstar.v1.TrainerService/PromoteCheckpoint", True),
        ("admin", "rstar.v9.Unheard/Of", True),
        ("solve", "rstar.v9.Unheard/Of", False),
    ],
)
def test_a_scope_allows_its_own_methods_only(authority, verifier, scope, method, allowed):
    caller = verifier.caller(f"Bearer {authority.token('someone', [scope], seconds=60)}")
    assert caller.subject == "someone"
    if allowed:
        caller.check(method)
    else:
        with pytest.raises(Forbidden, match=ADMIN):
            caller.check(method)


def test_a_token_of_another_authority_is_refused(tmp_path, verifier):
    stranger = Authority.create(tmp_path)
    with pytest.raises(Unauthenticated, match="nobody we know"):
        verifier.caller(f"Bearer {stranger.token('someone', [ADMIN], seconds=60)}")


def test_while_keys_are_changed_tokens_of_both_are_good(tmp_path, authority):
    new = Authority.create(tmp_path)
    both = b"".join(a.path("tokens", "pub").read_bytes() for a in (authority, new))
    for signer in (authority, new):
        Verifier(both).caller(f"Bearer {signer.token('someone', ['solve'], seconds=60)}")


def test_a_bound_token_is_good_beside_its_certificate_only(authority, verifier):
    header = f"Bearer {authority.token('laptop', ['solve'], seconds=60, bound_to='laptop')}"
    verifier.caller(header, certificate_pem=authority.path("laptop", "pem").read_bytes())
    for certificate in (b"", authority.path("other", "pem").read_bytes()):
        with pytest.raises(Unauthenticated, match="another certificate"):
            verifier.caller(header, certificate_pem=certificate)


@pytest.mark.parametrize("header", ["", "Bearer", "Basic abc", "Bearer not.a.token", "Bearer a b"])
def test_what_is_no_token_is_refused(verifier, header):
    with pytest.raises(Unauthenticated):
        verifier.caller(header)


def test_an_expired_or_foreign_token_is_refused(authority, verifier):
    key = authority.path("tokens", "key").read_text()
    now = time.time()
    good = {"sub": "s", "aud": AUDIENCE, "scope": "admin", "exp": now + 60}
    verifier.caller(f"Bearer {jwt.encode(good, key, algorithm=ALGORITHM)}")
    changes = (
        {"exp": now - 120}, {"aud": "other"}, {"exp": None}, {"sub": None}, {"nbf": now + 600},
    )  # fmt: skip
    for change in changes:
        claims = {k: v for k, v in {**good, **change}.items() if v is not None}
        with pytest.raises(Unauthenticated):
            verifier.caller(f"Bearer {jwt.encode(claims, key, algorithm=ALGORITHM)}")


def test_a_token_that_chooses_its_own_algorithm_is_refused(authority, verifier):
    public = authority.path("tokens", "pub").read_bytes()
    claims = {"sub": "s", "aud": AUDIENCE, "scope": "admin", "exp": time.time() + 60}
    unsigned = jwt.encode(claims, None, algorithm="none")
    with pytest.raises(Unauthenticated):
        verifier.caller(f"Bearer {unsigned}")
    # The public key as the secret of a symmetric signature: a classic of careless verifiers.
    # (The library itself refuses to sign with such a secret.)
    raw = load_pem_public_key(public).public_bytes(Encoding.Raw, PublicFormat.Raw)
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    for secret in (public, public.strip(), raw):
        mac = hmac.new(secret, head + b"." + body, hashlib.sha256).digest()
        token = b".".join((head, body, base64.urlsafe_b64encode(mac).rstrip(b"="))).decode()
        assert jwt.get_unverified_header(token)["alg"] == "HS256"
        with pytest.raises(Unauthenticated):
            verifier.caller(f"Bearer {token}")


def test_what_is_trained_is_the_house_s_own(authority, verifier):
    key = authority.path("tokens", "key").read_bytes()
    with pytest.raises(InvalidInput, match="not of a tenant") as refused:
        sign(key, subject="s", scopes=["publish", "train"], seconds=60, tenant="a")
    assert refused.value.field == "scope"
    one = verifier.caller(
        f"Bearer {sign(key, subject='s', scopes=['publish'], seconds=60, tenant='a')}"
    )
    one.check("rstar.v1.BatchService/GetBatch")
    made_before = replace(one, scopes=frozenset({"train", "admin"}))
    for method in ("rstar.v1.EvolutionService/ExportRun", "rstar.v1.TrainerService/SubmitJob"):
        with pytest.raises(Forbidden, match="token of a"):
            made_before.check(method)


def test_private_keys_are_their_owner_s_alone(authority):
    for path in authority.directory.glob("*.key"):
        assert path.stat().st_mode & 0o077 == 0


def test_bad_requests_for_keys_name_what_is_wrong(authority, tmp_path):
    with pytest.raises(InvalidInput, match="scope"):
        authority.token("someone", ["fly"], seconds=60)
    with pytest.raises(NotFound, match="nobody"):
        authority.token("someone", ["solve"], seconds=60, bound_to="nobody")
    with pytest.raises(NotFound, match=r"ca\.pem"):
        Authority(tmp_path / "none").issue("x", ["x"], days=1)
    with pytest.raises(InvalidInput, match="name"):
        authority.issue("../x", ["x"], days=1)


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----"])
def test_a_file_without_good_keys_is_refused(pem):
    with pytest.raises(InvalidInput, match=r"grpc\.token_keys"):
        Verifier(pem)


def test_the_docstring_names_every_scope():
    text = inspect.getmodule(scopes_of).__doc__
    assert all(scope in text for scope in SCOPES)

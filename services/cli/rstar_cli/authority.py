"""A small certificate authority in one directory, for clusters that have none of their own.

    ca.pem, ca.key            signs the certificates of services and clients
    tokens.pub, tokens.key    Ed25519: services hold the public half, `rstar keys token` the other
    NAME.pem, NAME.key        one service or client

Private keys are readable by their owner alone and never leave the directory by themselves.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rstar_common.errors import Conflict, InvalidInput, NotFound
from rstar_common.tokens import sign

CA_DAYS = 3650
CLOCK_SKEW = timedelta(minutes=5)

_PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """The keys of one directory."""

    directory: Path

    @classmethod
    def create(cls, directory: Path) -> Authority:
        """Make both key pairs.

        Raises:
            Conflict: the directory holds an authority already.
        """
        authority = cls(directory)
        if authority.path("ca", "key").exists():
            raise Conflict(f"{directory} holds an authority already")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("rstar authority")
        certificate = (
            _certificate(name, name, key.public_key(), days=CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        authority._write("ca", key, certificate.public_bytes(serialization.Encoding.PEM))
        tokens = ed25519.Ed25519PrivateKey.generate()
        public = tokens.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _save(authority.path("tokens", "key"), _private_pem(tokens), secret=True)
        _save(authority.path("tokens", "pub"), public)
        return authority

    def issue(self, name: str, hosts: Sequence[str], *, days: int) -> Path:
        """Sign a certificate for `hosts`, good for servers and clients; its PEM file.

        Raises:
            NotFound: there is no authority in the directory.
            InvalidInput: the name is taken by the authority itself, or is no file name.
        """
        if name in ("ca", "tokens") or "/" in name or not name or name.startswith("."):
            raise InvalidInput(f"cannot be {name!r}", field="name")
        authority = x509.load_pem_x509_certificate(self._read("ca", "pem"))
        signer = serialization.load_pem_private_key(self._read("ca", "key"), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _certificate(_name(name), authority.subject, key.public_key(), days=days)
            .add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(signer, hashes.SHA256())
        )
        self._write(name, key, certificate.public_bytes(serialization.Encoding.PEM))
        return self.path(name, "pem")

    def token(
        self,
        subject: str,
        scopes: Sequence[str],
        *,
        seconds: float,
        bound_to: str = "",
        tenant: str = "",
    ) -> str:
        """A token; with `bound_to`, of use only beside that name's certificate.

        Raises:
            NotFound: no authority, or no such certificate.
            InvalidInput: an unknown scope.
        """
        certificate = self._read(bound_to, "pem") if bound_to else b""
        return sign(
            self._read("tokens", "key"),
            subject=subject,
            scopes=scopes,
            seconds=seconds,
            certificate_pem=certificate,
            tenant=tenant,
        )

    def path(self, name: str, kind: str) -> Path:
        """Where a key or certificate lies."""
        return self.directory / f"{name}.{kind}"

    def _read(self, name: str, kind: str) -> bytes:
        try:
            return self.path(name, kind).read_bytes()
        except OSError as error:
            raise NotFound(f"cannot read {self.path(name, kind)}: {error.strerror}") from error

    def _write(self, name: str, key: _PrivateKey, certificate: bytes) -> None:
        _save(self.path(name, "key"), _private_pem(key), secret=True)
        _save(self.path(name, "pem"), certificate)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private_pem(key: _PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _save(path: Path, data: bytes, *, secret: bool = False) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if secret else 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)

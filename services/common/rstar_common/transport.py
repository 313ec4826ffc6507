"""How calls travel: TLS and client certificates, or plainly on loopback.

A server beyond loopback without TLS is a mistake more often than a wish, so it does not
start unless `grpc.plaintext` says that it is meant.

Who calls asks every few seconds whether the other side is still there (gRPC's keepalive), for a
call may be answered after minutes and a connection can be lost without a word to either side.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

import grpc

from rstar_common.config import GrpcServerSettings, PeerSettings
from rstar_common.errors import InvalidInput
from rstar_common.net import split_address

KEEPALIVE_SECONDS = 10
"""Between two such questions, and how long an answer may take."""


def client_keepalive() -> list[tuple[str, int]]:
    """Channel options: ask, whether or not calls wait."""
    return [
        ("grpc.keepalive_time_ms", 1000 * KEEPALIVE_SECONDS),
        # gRPC 1.85 never arms its `keepalive_timeout_ms`; this limit, of 60 s by default, holds.
        ("grpc.http2.ping_timeout_ms", 1000 * KEEPALIVE_SECONDS),
        # A connection that was lost while nothing was asked would cost the next call its time.
        ("grpc.keepalive_permit_without_calls", 1),
        # By default gRPC asks twice a call and never again.
        ("grpc.http2.max_pings_without_data", 0),
    ]


def server_keepalive() -> list[tuple[str, int]]:
    """Server options: be asked so often; by default twice in five minutes is too often."""
    return [
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 500 * KEEPALIVE_SECONDS),
    ]


def server_credentials(settings: GrpcServerSettings) -> grpc.ServerCredentials | None:
    """Credentials to listen with; None for plaintext.

    Raises:
        InvalidInput: a file cannot be read, one is missing, or nothing protects an open port.
    """
    host, _ = split_address(settings.address, field="grpc.address")
    if not settings.certificate and not settings.key:
        if settings.client_ca:
            raise InvalidInput("needs a certificate and a key too", field="grpc.client_ca")
        if not (settings.plaintext or is_loopback(host)):
            raise InvalidInput(
                f"listening on {host} needs grpc.certificate and grpc.key, or"
                " grpc.plaintext = true where the network itself encrypts",
                field="grpc.address",
            )
        return None
    chain = read_pem(settings.certificate, field="grpc.certificate")
    key = read_pem(settings.key, field="grpc.key")
    authorities = read_pem(settings.client_ca, field="grpc.client_ca", optional=True)
    return grpc.ssl_server_credentials(
        [(key, chain)],
        root_certificates=authorities or None,
        require_client_auth=bool(authorities),
    )


def channel_credentials(peers: PeerSettings) -> grpc.ChannelCredentials | None:
    """Credentials to call with, the token included; None for plaintext.

    Raises:
        InvalidInput: a file cannot be read, or a token would travel in the clear.
    """
    token = peers.token.get_secret_value()
    if not peers.ca:
        if token or peers.certificate:
            field = "peers.token" if token else "peers.certificate"
            raise InvalidInput("needs peers.ca: it would travel in the clear", field=field)
        return None
    credentials = grpc.ssl_channel_credentials(
        root_certificates=read_pem(peers.ca, field="peers.ca"),
        private_key=read_pem(peers.key, field="peers.key", optional=True) or None,
        certificate_chain=read_pem(peers.certificate, field="peers.certificate", optional=True)
        or None,
    )
    if not token:
        return credentials
    return grpc.composite_channel_credentials(
        credentials, grpc.access_token_call_credentials(token)
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_pem(path: str, *, field: str, optional: bool = False) -> bytes:
    """Contents of a PEM file; nothing when it is optional and not named.

    Raises:
        InvalidInput: naming `field`.
    """
    if not path:
        if optional:
            return b""
        raise InvalidInput("is missing", field=field)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", field=field) from error

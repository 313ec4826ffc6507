"""How calls travel: TLS and client certificates, or plainly on loopback.

A server beyond loopback without TLS is a mistake more often than a wish, so it does not
start unless `grpc.plaintext` says that it is meant.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

import grpc

from rstar_common.config import GrpcServerSettings, PeerSettings
from rstar_common.errors import InvalidInput
from rstar_common.net import split_address


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

"""Who calls: the authorities a client trusts, its certificate, its token."""

from __future__ import annotations

from pathlib import Path

import grpc

from rstar_client.errors import InvalidInput


def credentials(
    ca: str, *, certificate: str = "", key: str = "", token: str = ""
) -> grpc.ChannelCredentials:
    """What a client is given to call over TLS; `ca`, `certificate` and `key` name PEM files.

    `token` goes with every call, and never over a connection that is not encrypted.

    Raises:
        InvalidInput: a file cannot be read.
    """
    encrypted = grpc.ssl_channel_credentials(
        root_certificates=_read(ca, field="ca"),
        private_key=_read(key, field="key") if key else None,
        certificate_chain=_read(certificate, field="certificate") if certificate else None,
    )
    if not token:
        return encrypted
    return grpc.composite_channel_credentials(encrypted, grpc.access_token_call_credentials(token))


def _read(path: str, *, field: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", field=field) from error

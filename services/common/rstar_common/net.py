"""Host and port, parsed once."""

from __future__ import annotations

from rstar_common.errors import InvalidInput


def split_address(address: str, *, field: str) -> tuple[str, int]:
    """Split `host:port`.

    Raises:
        InvalidInput: naming `field`, when it is not of that form.
    """
    host, separator, port = address.rpartition(":")
    if not (separator and host and port.isdigit() and int(port) < 65536):
        raise InvalidInput(f"expected host:port, got {address!r}", field=field)
    return host.strip("[]"), int(port)

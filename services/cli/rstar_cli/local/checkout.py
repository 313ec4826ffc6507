"""Files of the repository that a one-machine stack uses when it runs from a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rstar_cli.local.state import StackOptions
from rstar_common.errors import InvalidInput


def checkout() -> Path | None:
    """Root of the checkout this package runs from, or None when installed from a wheel."""
    root = Path(__file__).resolve().parents[4]
    return root if (root / "infra" / "config").is_dir() else None


def resource(relative: str) -> Path | None:
    """A file or directory of the checkout, if there is one."""
    root = checkout()
    path = root / relative if root else None
    return path if path and path.exists() else None


def required(relative: str, *, field: str) -> Path:
    """As `resource`.

    Raises:
        InvalidInput: it is not there; `field` names the option that replaces it.
    """
    path = resource(relative)
    if not path:
        raise InvalidInput(f"no {relative} in this installation; name the file", field=field)
    return path


def default_options(
    *, policy: Literal["sglang", "bootstrap"] = "sglang", ppm: bool = True
) -> StackOptions:
    """A stack with the repository's settings."""
    return StackOptions(policy=policy, ppm=ppm, config_dir=str(resource("infra/config") or ""))

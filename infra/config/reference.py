#!/usr/bin/env python3
"""Writes docs/settings.md from the settings classes; `--check` fails if it differs.

The docstrings of the fields are the reference: what is not said there is said nowhere.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, SecretStr

from rstar_common.config import ServiceSettings
from rstar_policy.settings import PolicySettings
from rstar_ppm.main import PpmSettings
from rstar_sandbox.settings import SandboxSettings
from rstar_searcher.service_settings import SearcherSettings
from rstar_trainer.main import TrainerSettings

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "settings.md"

SERVICES: tuple[type[ServiceSettings], ...] = (
    SearcherSettings,
    PolicySettings,
    PpmSettings,
    SandboxSettings,
    TrainerSettings,
)

INTRODUCTION = """\
# Settings

Generated from the settings classes by `infra/config/reference.py`; do not edit.

A service takes each setting from its environment, else from the TOML file that `RSTAR_CONFIG`
names, else the default. In TOML a dot is a table: `sglang.device` is `device` under `[sglang]`. In
the environment it is two underscores behind the service's prefix: `RSTAR_POLICY_SGLANG__DEVICE`.
Lists and tables are JSON there. A key that does not exist, or a value that does not fit, ends a
start with exit status 78 and names the key.

## Every service

"""

HEAD = "| setting | default | meaning |\n|---|---|---|\n"


def main() -> None:
    """Write the page, or compare it."""
    text = reference()
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit("docs/settings.md is stale: run infra/config/reference.py")


def reference() -> str:
    """What every service has, then what each has for itself."""
    common = set(ServiceSettings.model_fields)
    parts = [INTRODUCTION, HEAD]
    parts += rows(ServiceSettings.model_construct(), only=common)
    for settings in SERVICES:
        prefix = settings.model_config["env_prefix"]
        name = prefix.removeprefix("RSTAR_").rstrip("_").lower()
        parts += [f"\n## {name}\n\nEnvironment: `{prefix}…`\n\n", HEAD]
        parts += rows(settings.model_construct(), only=set(settings.model_fields) - common)
    return "".join(parts)


def rows(settings: BaseModel, *, only: set[str], prefix: str = "") -> Iterator[str]:
    """A line for each setting, those of tables under their table's name."""
    for name, field in type(settings).model_fields.items():
        if name not in only:
            continue
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            inner = set(type(value).model_fields)
            yield from rows(value, only=inner, prefix=f"{prefix}{name}.")
        else:
            meaning = " ".join((field.description or "").split()).replace("|", "\\|")
            yield f"| `{prefix}{name}` | {written(value)} | {meaning} |\n"


def written(value: object) -> str:
    """A default as it would be given; nothing of a secret or of where this checkout lies."""
    if isinstance(value, SecretStr) or value is None or value == "":
        return ""
    if isinstance(value, Path):
        value = str(value.relative_to(ROOT) if value.is_relative_to(ROOT) else value)
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    main()

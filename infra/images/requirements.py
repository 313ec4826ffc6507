"""Print what one service's image installs: the project's base dependencies and its own extra.

    python requirements.py SERVICE [pyproject.toml]

The list is pyproject's alone, so that an image and a checkout cannot disagree. The service's
own code is copied into the image and not installed: a wheel would bring every service's.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

SERVICES = ("searcher", "policy", "ppm", "sandbox", "trainer", "cli")


def requirements(service: str, pyproject: str) -> list[str]:
    """Requirement specifiers, base first."""
    project = tomllib.loads(pyproject)["project"]
    return [*project["dependencies"], *project["optional-dependencies"][service]]


def main() -> None:
    """Write one requirement a line to stdout."""
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in SERVICES:
        sys.exit(f"usage: requirements.py {'|'.join(SERVICES)} [pyproject.toml]")
    pyproject = Path(sys.argv[2] if len(sys.argv) == 3 else "pyproject.toml")
    sys.stdout.write("\n".join(requirements(sys.argv[1], pyproject.read_text())) + "\n")


if __name__ == "__main__":
    main()

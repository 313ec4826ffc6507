"""What a service's image holds, for people and for scanners, from its lock.

    python infra/images/sbom.py searcher > searcher.cdx.json     # CycloneDX 1.6
    python infra/images/sbom.py --licences > docs/licences.md

Licences are those that the installed packages declare.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GUEST = ROOT / "services/sandbox/rstar_sandbox/guest-requirements.txt"

_LONGEST_NAME = 60
"""A longer declaration is the text of a licence and not its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One package of an image."""

    name: str
    version: str
    sha256: str
    licence: str


def licence_of(name: str) -> str:
    """The licence that an installed package declares."""
    try:
        declared = metadata(name)
    except PackageNotFoundError:
        return "unknown"
    expression = declared.get("License-Expression") or ""
    if expression:
        return expression
    classified = [
        line.rpartition(" :: ")[2]
        for line in declared.get_all("Classifier") or ()
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    if classified:
        return " AND ".join(classified)
    named = (declared.get("License") or "").strip().splitlines()
    return named[0] if named and len(named[0]) <= _LONGEST_NAME else "see the package"


def components(service: str) -> list[Component]:
    """Everything in a service's lock; for the sandbox, what its guests may import too."""
    from lock import read  # beside this file

    pins = {name: (version, digest) for name, (version, digest) in read(service).items()}
    if service == "sandbox":
        found = re.findall(r"^(\S+)==(\S+) \\\n\s+--hash=sha256:(\w+)", GUEST.read_text(), re.M)
        pins |= {name: (version, digest) for name, version, digest in found}
    return [
        Component(name=name, version=version, sha256=digest, licence=licence_of(name))
        for name, (version, digest) in sorted(pins.items())
    ]


def sbom(service: str, version: str) -> dict[str, Any]:
    """A CycloneDX document. The same lock gives the same document."""
    found = components(service)
    lock = (HERE / "locks" / f"{service}.txt").read_bytes()
    digest = hashlib.sha256(lock).hexdigest()
    serial = f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": f"rstar-{service}",
                "name": f"rstar-{service}",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{one.name}@{one.version}",
                "name": one.name,
                "version": one.version,
                "purl": f"pkg:pypi/{one.name}@{one.version}",
                "hashes": [{"alg": "SHA-256", "content": one.sha256}],
                "licenses": [{"license": {"name": one.licence}}],
            }
            for one in found
        ],
        "dependencies": [
            {
                "ref": f"rstar-{service}",
                "dependsOn": [f"pkg:pypi/{one.name}@{one.version}" for one in found],
            }
        ],
    }


def licences() -> str:
    """Every package of every image, its licence, and who has it."""
    from lock import SERVICES  # beside this file

    users: dict[tuple[str, str], list[str]] = {}
    for service in SERVICES:
        for one in components(service):
            users.setdefault((one.name, one.licence), []).append(service)
    lines = [
        "# Licences",
        "",
        "Of what the images install beside torch (BSD-3-Clause), as the packages declare them.",
        "Written by `python infra/images/sbom.py --licences`.",
        "",
        "| package | licence | in |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name} | {licence} | {'all' if len(who) == len(SERVICES) else ', '.join(who)} |"
        for (name, licence), who in sorted(users.items())
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write a document to stdout."""
    import tomllib

    sys.path.insert(0, str(HERE))
    if sys.argv[1:] == ["--licences"]:
        sys.stdout.write(licences())
        return
    if len(sys.argv) != 2 or not (HERE / "locks" / f"{sys.argv[1]}.txt").exists():
        sys.exit("usage: sbom.py SERVICE | --licences")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sys.stdout.write(json.dumps(sbom(sys.argv[1], project["version"]), indent=1) + "\n")


if __name__ == "__main__":
    main()

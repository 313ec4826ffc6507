"""Lock what each service's image installs: every package with its version and hash.

    python infra/images/lock.py            # writes infra/images/locks/SERVICE.txt
    pip install --no-deps --require-hashes --requirement infra/images/locks/searcher.txt

Versions are those of the environment that runs this: what the tests ran with. Hashes are those
of the files that pip would install there, so a lock is good for one platform, which it names.
torch is left out with what only it needs: which build it is depends on the machine.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
LOCKS = HERE / "locks"
SERVICES = ("searcher", "policy", "ppm", "sandbox", "trainer", "cli")
UNLOCKED = frozenset({"torch"})

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) \\\n    --hash=sha256:([0-9a-f]{64})$", re.MULTILINE)


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """Name and version of everything that `requirements` bring, as installed here."""
    found: dict[str, str] = {}
    asked = [Requirement(text) for text in requirements]
    done: set[tuple[str, frozenset[str]]] = set()
    while asked:
        wanted = asked.pop()
        name = canonicalize_name(wanted.name)
        extras = frozenset(wanted.extras)
        if name in UNLOCKED or (name, extras) in done:
            continue
        done.add((name, extras))
        installed = distribution(name)
        if not wanted.specifier.contains(installed.version, prereleases=True):
            raise SystemExit(f"lock.py: {wanted} is wanted, {installed.version} is installed")
        found[name] = installed.version
        for text in installed.requires or ():
            inner = Requirement(text)
            if not inner.marker or any(
                inner.marker.evaluate({"extra": extra}) for extra in (extras or {""})
            ):
                asked.append(inner)
    return found


def hashes(versions: dict[str, str]) -> dict[str, str]:
    """SHA-256 of the file that pip takes for each package; it installs nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        pins, report = Path(scratch) / "pins.txt", Path(scratch) / "report.json"
        pins.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"),
                *("install", "--dry-run", "--ignore-installed", "--no-deps"),
                *("--only-binary", ":all:", "--report", str(report), "--requirement", str(pins)),
            ],
            check=True,
        )
        installs = json.loads(report.read_text())["install"]
    return {
        canonicalize_name(one["metadata"]["name"]): one["download_info"]["archive_info"]["hashes"][
            "sha256"
        ]
        for one in installs
    }


def written(service: str, versions: dict[str, str], known: dict[str, str]) -> str:
    """The lock of one service."""
    lines = [
        f"# What rstar-{service} installs beside torch; made by infra/images/lock.py.",
        f"# For CPython {sys.version_info.major}.{sys.version_info.minor},"
        f" {platform.system()} {platform.machine()}.",
    ]
    lines += [
        f"{name}=={version} \\\n    --hash=sha256:{known[name]}"
        for name, version in sorted(versions.items())
    ]
    return "\n".join(lines) + "\n"


def read(service: str) -> dict[str, tuple[str, str]]:
    """Version and hash of each package of a lock."""
    text = (LOCKS / f"{service}.txt").read_text()
    return {name: (version, digest) for name, version, digest in _PIN.findall(text)}


def main() -> None:
    """Write every lock."""
    sys.path.insert(0, str(HERE))
    from requirements import requirements  # beside this file

    pyproject = (HERE.parents[1] / "pyproject.toml").read_text()
    closures = {service: closure(requirements(service, pyproject)) for service in SERVICES}
    known = hashes({name: version for one in closures.values() for name, version in one.items()})
    LOCKS.mkdir(exist_ok=True)
    for service, versions in closures.items():
        (LOCKS / f"{service}.txt").write_text(written(service, versions, known))


if __name__ == "__main__":
    main()

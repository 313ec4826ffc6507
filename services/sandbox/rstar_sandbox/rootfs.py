"""The sandbox's root file system: this interpreter, the guest's packages, no shell.

Built once into a cache, named by the hash of what goes into it, and only ever read after that.
`python -m rstar_sandbox.rootfs --out DIR` builds it ahead of the first start.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rstar_common.errors import InvalidInput, Unavailable
from rstar_sandbox.bytecode import compile_tree

PYTHON = "/usr/local/bin/python3"
PACKAGES = "/opt/packages"
GUEST = "/opt/rstar"

DEFAULT_CACHE = Path("~/.cache/rstar/sandbox")
DEFAULT_REQUIREMENTS = Path(__file__).parent / "guest-requirements.txt"

_GUEST_SOURCE = Path(__file__).parent / "guest"
_UNNEEDED = (
    "test", "tests", "idlelib", "tkinter", "ensurepip", "__pycache__", "site-packages",
    "dist-packages", "lib2to3", "turtledemo", "config-*", "*.a", "pydoc_data", "distutils",
)  # fmt: skip
_LINKED = re.compile(r"(?:=> )?(/\S+) \(0x")


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A built root file system and the guest's code, which is mounted into it."""

    root: Path
    guest: Path
    version: str
    """Hash of guest code, packages and interpreter: the sandbox version."""

    library_path: str
    """LD_LIBRARY_PATH inside, for interpreters linked to libraries in odd places."""


def ensure(cache: Path, requirements: Path) -> Rootfs:
    """Give the root file system for this interpreter and these packages, built if need be.

    Raises:
        InvalidInput: `requirements` is no file.
        Unavailable: the packages could not be installed.
    """
    if not requirements.is_file():
        raise InvalidInput(f"no such file: {requirements}", field="sandbox.requirements")
    cache = cache.expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    wanted = _pins(requirements.read_text())
    executable = Path(sys.executable).resolve()
    base = _hash([wanted.encode(), sys.version.encode(), str(executable).encode(), b"layout 3"])
    code = _hash(
        part for file in _guest_files() for part in (file.name.encode(), file.read_bytes())
    )
    root, guest = cache / f"rootfs-{base}", cache / f"guest-{code}"
    if not root.is_dir():
        _build(root, lambda out: _fill_root(out, executable, requirements))
    if not guest.is_dir():
        _build(guest, _fill_guest)
    return Rootfs(
        root=root,
        guest=guest,
        version=_hash([base.encode(), code.encode()]),
        library_path=(root / "library_path").read_text(),
    )


def _pins(text: str) -> str:
    """The requirements without comments, so that rewording one changes no version."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:12]


def _guest_files() -> list[Path]:
    return sorted(_GUEST_SOURCE.glob("*.py"))


def _build(target: Path, fill: Callable[[Path], None]) -> None:
    """Build aside and move into place: two starting services may both try."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as work:
        out = Path(work) / "out"
        out.mkdir()
        fill(out)
        try:
            out.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def _fill_guest(out: Path) -> None:
    package = out / "rstar_sandbox"
    (package / "guest").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for file in _guest_files():
        shutil.copy2(file, package / "guest" / file.name)
    compile_tree(out, GUEST)


def _fill_root(out: Path, executable: Path, requirements: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = out / "usr/local/lib" / version
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        library,
        ignore=shutil.ignore_patterns(*_UNNEEDED),
        ignore_dangling_symlinks=True,
    )
    python = out / PYTHON[1:]
    python.parent.mkdir(parents=True)
    shutil.copy2(executable, python)
    packages = out / PACKAGES[1:]
    _install(requirements, packages)
    for unneeded in packages.rglob("tests"):
        shutil.rmtree(unneeded)
    shutil.rmtree(packages / "bin", ignore_errors=True)
    directories = _copy_libraries(out, executable)
    (out / "library_path").write_text(":".join(directories))
    for name in ("proc", "dev", "tmp", "sys", "etc", GUEST[1:]):
        (out / name).mkdir(parents=True, exist_ok=True)
    (out / "etc/passwd").write_text("root:x:0:0::/:/none\n")
    (out / "etc/group").write_text("root:x:0:\n")
    compile_tree(library, f"/usr/local/lib/{version}")
    compile_tree(packages, PACKAGES)


def _install(requirements: Path, target: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-compile"),
        *("--target", str(target), "--requirement", str(requirements)),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise Unavailable(f"the sandbox's packages cannot be installed: {result.stderr[-2000:]}")


def _copy_libraries(out: Path, executable: Path) -> list[str]:
    """Copy every shared library that anything in `out` is linked to; the directories used."""
    objects = [executable, *(path for path in out.rglob("*.so*") if path.is_file())]
    directories = set()
    for batch_start in range(0, len(objects), 50):
        batch = [str(path) for path in objects[batch_start : batch_start + 50]]
        listing = subprocess.run(["ldd", *batch], capture_output=True, text=True, check=False)
        for line in listing.stdout.splitlines():
            found = _LINKED.search(line)
            if not found or Path(found[1]).is_relative_to(out):
                continue
            target = out / found[1][1:]
            directories.add(str(Path(found[1]).parent))
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path(found[1]).resolve(), target)
    return sorted(directories)


def main() -> None:
    """Build it now rather than at the first start."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_CACHE, help="the cache directory")
    parser.add_argument("--requirements", type=Path, default=DEFAULT_REQUIREMENTS)
    arguments = parser.parse_args()
    rootfs = ensure(arguments.out, arguments.requirements)
    sys.stdout.write(f"{rootfs.version} {rootfs.root}\n")


if __name__ == "__main__":
    main()

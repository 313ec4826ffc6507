"""gVisor's command line: found, asked for its version, told what to run, cleaned up after."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rstar_common.errors import InvalidInput, Unavailable

logger = logging.getLogger(__name__)

CGROUP_PARENT = "rstar-sandbox"
_CGROUP_ROOT = Path("/sys/fs/cgroup")

_COMMAND_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Runsc:
    """One installation of gVisor and the state directory that we gave it."""

    program: str
    version: str
    state: Path

    def command(self, *words: str, options: tuple[str, ...] = ()) -> list[str]:
        """A command line on our state."""
        rootless = () if os.geteuid() == 0 else ("--rootless",)
        return [self.program, "--root", str(self.state), *rootless, *options, *words]

    def run(self, sandbox_id: str, bundle: Path, *, platform: str, cgroups: bool) -> list[str]:
        """The command line that runs a sandbox until it ends."""
        options = _sandbox_options(platform, cgroups=cgroups)
        return self.command("run", "-bundle", str(bundle), sandbox_id, options=options)

    def restore(
        self, sandbox_id: str, bundle: Path, image: Path, *, platform: str, cgroups: bool
    ) -> list[str]:
        """The same, for one that goes on from a checkpoint."""
        options = _sandbox_options(platform, cgroups=cgroups)
        words = ("restore", "-image-path", str(image), "-bundle", str(bundle), sandbox_id)
        return self.command(*words, options=options)

    async def checkpoint(self, sandbox_id: str, image: Path) -> bool:
        """Write the state of a sandbox and end it; whether that worked."""
        words = ("checkpoint", "-image-path", str(image), "-compression", "none")
        return await _quietly(self.command(*words, sandbox_id)) == 0

    async def destroy(self, sandbox_id: str) -> None:
        """End a sandbox and forget its state; both may have happened already."""
        await _quietly(self.command("kill", sandbox_id, "KILL"))
        await _quietly(self.command("delete", "-force", sandbox_id))


def _sandbox_options(platform: str, *, cgroups: bool) -> tuple[str, ...]:
    return (
        "--network=none",
        f"--platform={platform}",
        "--directfs=false",
        "--overlay2=none",
        *(() if cgroups else ("--ignore-cgroups",)),
    )


async def find_runsc(program: str, state: Path) -> Runsc:
    """Locate gVisor.

    Raises:
        Unavailable: it is not installed. There is no running without it.
    """
    path = shutil.which(program)
    if path is None:
        raise Unavailable(
            f"sandbox.runsc: {program!r} (gVisor) is not installed, and nothing runs outside it."
            " On Debian 12: infra/gvisor/install.sh; elsewhere: see gvisor.dev"
        )
    process = await asyncio.create_subprocess_exec(
        path, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    lines = output.decode(errors="replace").splitlines()
    return Runsc(path, lines[0] if lines else "unknown", state)


@contextmanager
def run_directory(parent: Path) -> Iterator[Path]:
    """A directory of this process's own, locked while in use and removed afterwards.

    Raises:
        InvalidInput: it cannot be made there.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    except OSError as error:
        raise InvalidInput(f"cannot write there: {error}", field="sandbox.rootfs_dir") from error
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            remove_empty_cgroups()


async def remove_stale(program: str, parent: Path) -> int:
    """Clear what services that were killed left behind; how many they were."""
    count = 0
    for directory in parent.glob("run-*"):  # noqa: ASYNC240 a handful of entries
        with suppress(OSError), (directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stale = await find_runsc(program, directory / "state")
            for bundle in (directory / "bundles").glob("*"):
                await stale.destroy(bundle.name)
            shutil.rmtree(directory, ignore_errors=True)
            count += 1
    return count


def cgroup_kind(root: Path = _CGROUP_ROOT) -> str:
    """Which control groups sandboxes can be put into: v1, v2 or none."""
    for kind, path in (("v2", root / "cgroup.controllers"), ("v1", root / "memory")):
        if path.exists():
            return kind if os.geteuid() == 0 and os.access(root, os.W_OK) else "none"
    return "none"


def remove_empty_cgroups() -> None:
    """Remove our groups from each hierarchy, and their parent unless somebody still lives in it.

    runsc leaves one behind where it looked before all of a killed sandbox's processes were gone.
    """
    for parent in (_CGROUP_ROOT / CGROUP_PARENT, *_CGROUP_ROOT.glob(f"*/{CGROUP_PARENT}")):
        for directory in (*parent.glob(f"rstar-{os.getpid()}-*"), parent):
            with suppress(OSError):
                directory.rmdir()


async def _quietly(command: list[str]) -> int | None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_COMMAND_SECONDS):
            await process.wait()
    except TimeoutError:
        logger.warning("runsc did not answer", extra={"command": command})
        process.kill()
        await process.wait()
    return process.returncode

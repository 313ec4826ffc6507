"""Whether gVisor runs a program here, and on which of its platforms. Nothing runs outside it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from pathlib import Path

from rstar_cli.doctor.finding import Finding, fault, fine

CHECK = "gvisor"
PLATFORMS = ("systrap", "ptrace")
"""Those that need no hardware. Where they fail, KVM would not help: it needs more rights."""

_SECONDS = 60.0
"""Half a second on an idle machine; far more on one that is busy, which is no fault."""

_INSTALL = "run infra/gvisor/install.sh (Debian 12), or see gvisor.dev"


async def check(program: str = "runsc") -> list[Finding]:
    """Whether a platform runs a program that does nothing.

    One is enough: which of several is fastest the sandbox measures for itself.
    """
    path = shutil.which(program)
    if not path:
        return [fault(CHECK, f"{program} is not on PATH", _INSTALL)]
    version = (await _run(path, "--version"))[1].partition("\n")[0]
    complaints = []
    with tempfile.TemporaryDirectory(prefix="rstar-doctor-") as state:
        for platform in PLATFORMS:
            complaint = await _try(path, platform, Path(state))
            if not complaint:
                return [fine(CHECK, f"{version} works on {platform}")]
            complaints.append(f"{platform}: {complaint}")
    return [fault(CHECK, f"{path} runs nothing here ({'; '.join(complaints)})", _remedy())]


def _remedy() -> str:
    if os.geteuid() == 0:
        return f"in a container allow ptrace and unshare (seccomp, capabilities); else {_INSTALL}"
    limit = Path("/proc/sys/user/max_user_namespaces")
    if limit.exists() and limit.read_text().strip() == "0":
        return "sysctl user.max_user_namespaces=10000 (runsc without root needs user namespaces)"
    return f"try as root, or allow user namespaces; else {_INSTALL}"


async def _try(program: str, platform: str, state: Path) -> str:
    """Empty if it works, else the last thing it said."""
    rootless = () if os.geteuid() == 0 else ("--rootless",)
    status, said = await _run(
        program,
        *("--root", str(state / platform), *rootless, "--network=none", "--ignore-cgroups"),
        *(f"--platform={platform}", "do", "/bin/true"),
    )
    lines = [line for line in said.splitlines() if line.strip()]
    return "" if status == 0 else (lines[-1][:160] if lines else f"exit status {status}")


async def _run(*command: str) -> tuple[int, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return 1, str(error)
    try:
        async with asyncio.timeout(_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)  # runsc's helpers as well
        await process.wait()
        return 1, f"no answer within {_SECONDS:.0f} s"
    return process.returncode or 0, output.decode(errors="replace")

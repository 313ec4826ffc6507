"""runsc works under the sandbox pod's seccomp profile, with no rights at all beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deployment import INFRA, ROOT

PROFILE = INFRA / "helm" / "profiles" / "rstar-sandbox.json"
NOBODY = "65532"
UNDER = [sys.executable, str(ROOT / "tests" / "support" / "under_profile.py"), str(PROFILE)]


@pytest.mark.parametrize("platform", ["ptrace", "systrap"])
def test_runsc_starts_a_sandbox_as_nobody_without_capabilities(
    platform: str, tmp_path: Path
) -> None:
    drop = ["setpriv", "--no-new-privs"]
    if os.geteuid() == 0:
        drop += ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
        drop += ["--bounding-set", "-all", "--inh-caps=-all"]
        state = Path("/tmp") / f"rstar-profile-{os.getpid()}-{platform}"
    else:
        state = tmp_path
    done = subprocess.run(
        [
            *(*UNDER, *drop, "runsc", "--rootless", "--root", str(state)),
            *("--network=none", f"--platform={platform}", "do", "echo", "inside"),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    shutil.rmtree(state, ignore_errors=True)
    assert done.stdout == "inside\n", done.stderr


@pytest.mark.parametrize("call", ["bpf", "io_uring_setup", "userfaultfd", "add_key", "init_module"])
def test_what_no_sandbox_needs_is_denied(call: str) -> None:
    def errno_of(name: str) -> int:
        done = subprocess.run([*UNDER, f"@{name}"], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert errno_of(call) == 1  # EPERM
    assert errno_of("getpid") == 0

"""Run a program under an OCI seccomp profile: `python under_profile.py PROFILE PROGRAM …`.

What a container runtime does with such a file, as far as this project's profiles go: a default
action of allowing, and a list of calls that fail. Needs libseccomp. `@NAME`, instead of a
program, makes that system call (without arguments that mean anything) and prints its errno, or 0.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

ALLOW = 0x7FFF0000
ERRNO = 0x00050000


def load(profile: Path) -> ctypes.CDLL:
    """Install the profile in this process, for good."""
    rules = json.loads(profile.read_text())
    assert rules["defaultAction"] == "SCMP_ACT_ALLOW"
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ALLOW))
    for rule in rules["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ERRNO"
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            # A name of another architecture resolves to a negative number.
            if number >= 0:
                action = ERRNO | rule["errnoRet"]
                assert library.seccomp_rule_add(context, action, number, 0) == 0, name
    assert library.seccomp_load(context) == 0
    return library


def main() -> None:
    """Load, then become the program."""
    library = load(Path(sys.argv[1]))
    program = sys.argv[2]
    if program.startswith("@"):
        number = library.seccomp_syscall_resolve_name(program[1:].encode())
        libc = ctypes.CDLL(None, use_errno=True)
        print(ctypes.get_errno() if libc.syscall(number, 0, 0, 0, 0, 0) == -1 else 0)
        return
    os.execvp(program, sys.argv[2:])


if __name__ == "__main__":
    main()

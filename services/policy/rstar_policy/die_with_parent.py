"""Run a program that dies when the process that started it dies, however it dies.

    python die_with_parent.py PARENT_PID PROGRAM ARGUMENT…

The kernel's parent-death signal is set here, in the child, and survives `exec`: doing it in
the parent would mean running Python between fork and exec of a process that has threads.
Standard library only; run as a file, so that nothing else is imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From `linux/prctl.h`."""


def main() -> None:
    """Become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the parent died first")
    os.execv(program[0], program)  # noqa: S606 -- no shell is wanted


if __name__ == "__main__":
    main()

"""The system calls Python has no function for.

Called with the GIL held (`PyDLL`): nothing else may run between a `clone` and what follows it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 4, 38, 22

FORK_FLAGS = int(signal.SIGCHLD)
"""Flags of `fork_interpreter`. libc's own fork passes more, so a filter can tell them apart."""

SYS_CLONE = 56

NOBODY_ELSE = 99_999
"""Real uid of the zygote while it kills by uid: belongs to no process."""

MOST_FRUITLESS = 200
"""Rounds of killing, of half a millisecond and more, after which nobody died."""

_libc = ctypes.PyDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")
    return result


def fork_interpreter() -> int:
    """Fork without running any at-fork hook: 0 in the child, its pid in the parent.

    Hooks would seed `random` anew and so tell the fork from a re-execution. The caller has a
    single thread, hence no lock to mend.
    """
    return _check(_libc.syscall(SYS_CLONE, FORK_FLAGS, 0, 0, 0, 0), "clone")


def own_mounts(tmp_bytes: int) -> None:
    """Enter a mount namespace with an empty private /tmp and nothing in /proc."""
    _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWIPC), "unshare")
    options = f"size={tmp_bytes},mode=1777".encode()
    flags = MS_NOSUID | MS_NODEV
    _check(_libc.mount(b"tmpfs", b"/tmp", b"tmpfs", flags, options), "mount /tmp")
    flags |= MS_RDONLY | MS_NOEXEC
    _check(_libc.mount(b"tmpfs", b"/proc", b"tmpfs", flags, b"size=4096"), "mount /proc")


def forgetful_proc() -> None:
    """Mount a /proc that keeps nothing of processes that have ended.

    gVisor's own keeps the last thousand names that were looked up in it, and with each the whole
    task behind it: 160 KB of the sentry's memory for every interpreter that was ever inspected.
    """
    options = b"dentry_cache_limit=0"
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    _check(_libc.mount(b"proc", b"/proc", b"proc", flags, options), "mount /proc")


def close_devices() -> None:
    """Leave to root what only a machine's administrator would open."""
    for name in ("fuse", "ptmx", "pts/ptmx", "net/tun"):
        with contextlib.suppress(OSError):  # not every gVisor has them
            os.chmod(f"/dev/{name}", 0o600)  # noqa: PTH101


def become(uid: int) -> None:
    """Drop every privilege for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _check(_libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")


def set_filter(program: ctypes.Structure) -> None:
    """Install a seccomp program for this process and all it will ever start."""
    _check(_libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "seccomp")


def kill(pid: int) -> None:
    """Kill one process; it may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill_user(uid: int, reap: Callable[[], bool]) -> None:
    """Kill every process of a user, however fast they fork; `reap` collects what died, if any.

    With the *real* uid moved aside too, processes that are still root are out of reach. One that
    does not die is left: what was killed cannot fork any more.
    """
    fruitless = 0
    for attempt in range(1000):
        os.setresuid(NOBODY_ELSE, uid, 0)
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.setresuid(0, 0, 0)
        if attempt:
            time.sleep(0.0005)  # dying takes the kernel a moment
        fruitless = 0 if reap() else fruitless + 1
        if fruitless == MOST_FRUITLESS:
            return


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used, all threads together; 0 when it is gone."""
    try:
        return time.clock_gettime(((~pid) << 3) | 2)
    except OSError:
        return 0.0


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`."""
    try:
        file = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY)
    except OSError:
        return []
    try:
        return [int(word) for word in os.read(file, 2**16).split()]
    except OSError:
        return []
    finally:
        os.close(file)


def open_files(pid: int) -> int:
    """How many descriptors a process holds."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except OSError:
        return -1


def address_space(pid: int | str = "self") -> int:
    """Bytes of address space mapped by a process."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")


def used_memory() -> int:
    """Bytes of memory that the whole sandbox uses."""
    fields = {}
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
        for line in file:
            name, _, value = line.partition(":")
            fields[name] = int(value.split()[0]) * 1024
    return fields["MemTotal"] - fields["MemFree"]

"""What a step may ask of the kernel: two seccomp programs on top of gVisor.

`contained()` refuses what no step needs and what once led out of a limit: namespaces, mounts,
tracing, anonymous shared memory, kernel interfaces.

`forkable()` also *kills* the process on whatever a fork could not repeat faithfully: writing
files, starting processes or threads, shared mappings, pipes, sockets, timers, signals. The
zygote sees the death and runs the path again from the start under `contained()`, where these
are allowed. So a forkable interpreter is one thread, owns no kernel object beyond its four
descriptors, and nothing can be shared between siblings.
"""

from __future__ import annotations

import ctypes
import platform

from rstar_sandbox.guest.kernel import FORK_FLAGS, PR_SET_SECCOMP, SYS_CLONE

ARCH_X86_64 = 0xC000003E
X32_BIT = 0x40000000

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NR_OFFSET, ARCH_OFFSET, ARGS_OFFSET = 0, 4, 16

ALLOW = 0x7FFF0000
KILL = 0x80000000
EPERM = 0x00050000 | 1
ENOSYS = 0x00050000 | 38

NAMESPACE_FLAGS = 0x7E020000
"""CLONE_NEW* of clone's first argument."""

WRITE_FLAGS = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND."""

MAP_SHARED = 1

REFUSED = {
    # One network, one scheduler and one root file system serve all runs of a sandbox: each of
    # these calls is a way to tell a neighbour something, or to change what it sees.
    "socket": 41, "flock": 73, "setpriority": 141, "sched_setparam": 142,
    "sched_setscheduler": 144, "sched_setaffinity": 203, "ioprio_set": 251, "sched_setattr": 314,
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "shmdt": 67,
    "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "ptrace": 101, "pivot_root": 155,
    "chroot": 161, "acct": 163, "mount": 165, "umount2": 166, "mq_open": 240, "add_key": 248,
    "request_key": 249, "keyctl": 250, "inotify_init": 253, "unshare": 272,
    "inotify_init1": 294, "perf_event_open": 298,
    "fanotify_init": 300, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "seccomp": 317, "memfd_create": 319, "bpf": 321,
    "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "pidfd_getfd": 438,
    "mount_setattr": 442, "memfd_secret": 447,
}  # fmt: skip
"""Fail with EPERM, always."""

ABSENT = {"clone3": 435, "openat2": 437}
"""Fail with ENOSYS, so that libc falls back to calls whose arguments a filter can read."""

UNREPEATABLE = {
    "pipe": 22, "alarm": 37, "setitimer": 38, "socketpair": 53, "fork": 57,
    "vfork": 58, "execve": 59, "kill": 62, "truncate": 76, "ftruncate": 77, "rename": 82,
    "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "chmod": 90,
    "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "rt_sigqueueinfo": 129, "utime": 132,
    "mknod": 133, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "tkill": 200,
    "epoll_create": 213, "timer_create": 222, "tgkill": 234, "utimes": 235,
    "mkdirat": 258, "mknodat": 259, "fchownat": 260, "futimesat": 261, "unlinkat": 263,
    "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268, "utimensat": 280,
    "signalfd": 282, "timerfd_create": 283, "eventfd": 284, "signalfd4": 289, "eventfd2": 290,
    "epoll_create1": 291, "pipe2": 293, "rt_tgsigqueueinfo": 297,
    "renameat2": 316, "execveat": 322, "pidfd_send_signal": 424, "pidfd_open": 434,
}  # fmt: skip
"""Kill a forkable interpreter."""

FCNTL_REFUSED = {
    "F_GETLK": 5, "F_SETLK": 6, "F_SETLKW": 7, "F_OFD_GETLK": 36, "F_OFD_SETLK": 37,
    "F_OFD_SETLKW": 38, "F_SETLEASE": 1024, "F_GETLEASE": 1025, "F_NOTIFY": 1026,
}  # fmt: skip
"""Locks and notices on files that all runs of a sandbox have."""

SYS_OPEN, SYS_MMAP, SYS_FCNTL, SYS_PRCTL, SYS_OPENAT, SYS_PRLIMIT64 = 2, 9, 72, 157, 257, 302
SYS_MKNOD, SYS_MKNODAT = 133, 259

DEVICE_BIT = 0o020000
"""Of a file's mode: set for character and block devices, for nothing else that mknod makes."""

Instruction = tuple[int, int, int, int]


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jump_true", ctypes.c_ubyte),
        ("jump_false", ctypes.c_ubyte),
        ("value", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filters", ctypes.POINTER(_Filter)))


def contained() -> ctypes.Structure:
    """The program of every process that runs untrusted code."""
    return _assemble([*_preamble(), *_contained_rules(), (RETURN, 0, 0, ALLOW)])


def forkable() -> ctypes.Structure:
    """The program of interpreters whose state may be forked."""
    return _assemble([*_preamble(), *_forkable_rules(), *_contained_rules(), (RETURN, 0, 0, ALLOW)])


def _preamble() -> list[Instruction]:
    if platform.machine() != "x86_64":
        raise OSError("the syscall filter knows x86_64 only")
    return [
        (LOAD, 0, 0, ARCH_OFFSET),
        (JUMP_EQUAL, 1, 0, ARCH_X86_64),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NR_OFFSET),
        (JUMP_AT_LEAST, 0, 1, X32_BIT),
        (RETURN, 0, 0, ENOSYS),
    ]


def _contained_rules() -> list[Instruction]:
    rules: list[Instruction] = []
    for number in ABSENT.values():
        rules += _when(number, ENOSYS)
    for number in REFUSED.values():
        rules += _when(number, EPERM)
    rules += _when_argument(SYS_CLONE, 0, (JUMP_ANY_BIT, 0, 1, NAMESPACE_FLAGS), EPERM)
    rules += _when_argument(SYS_MKNOD, 1, (JUMP_ANY_BIT, 0, 1, DEVICE_BIT), EPERM)
    rules += _when_argument(SYS_MKNODAT, 2, (JUMP_ANY_BIT, 0, 1, DEVICE_BIT), EPERM)
    rules += _when_argument(SYS_PRCTL, 0, (JUMP_EQUAL, 0, 1, PR_SET_SECCOMP), EPERM)
    # Of nobody but itself: siblings have one user, and a parent waits parked.
    rules += _when_argument(SYS_PRLIMIT64, 0, (JUMP_EQUAL, 1, 0, 0), EPERM)
    for command in FCNTL_REFUSED.values():
        rules += _when_argument(SYS_FCNTL, 1, (JUMP_EQUAL, 0, 1, command), EPERM)
    return rules


def _forkable_rules() -> list[Instruction]:
    rules: list[Instruction] = []
    for number in UNREPEATABLE.values():
        rules += _when(number, KILL)
    rules += _when_argument(SYS_CLONE, 0, (JUMP_EQUAL, 1, 0, FORK_FLAGS), KILL)
    rules += _when_argument(SYS_OPEN, 1, (JUMP_ANY_BIT, 0, 1, WRITE_FLAGS), KILL)
    rules += _when_argument(SYS_OPENAT, 2, (JUMP_ANY_BIT, 0, 1, WRITE_FLAGS), KILL)
    rules += _when_argument(SYS_MMAP, 3, (JUMP_ANY_BIT, 0, 1, MAP_SHARED), KILL)
    return rules


def _when(number: int, action: int) -> list[Instruction]:
    return [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, action)]


def _when_argument(number: int, index: int, test: Instruction, action: int) -> list[Instruction]:
    # `test` jumps over the return when the argument is harmless.
    return [
        (JUMP_EQUAL, 0, 4, number),
        (LOAD, 0, 0, ARGS_OFFSET + 8 * index),
        test,
        (RETURN, 0, 0, action),
        (LOAD, 0, 0, NR_OFFSET),
    ]


def _assemble(instructions: list[Instruction]) -> ctypes.Structure:
    filters = (_Filter * len(instructions))(*(_Filter(*item) for item in instructions))
    return _Program(len(instructions), filters)

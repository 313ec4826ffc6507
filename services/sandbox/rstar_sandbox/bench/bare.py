"""The guest's fork server without any isolation, for comparison only. Never part of a service.

Runs as `python -m rstar_sandbox.bench.bare` outside gVisor, where the guest's own mounting and
killing would hit the host. So these are taken out here, before anything else runs, rather than
by a switch in the guest: what enters the sandbox has no way to be told not to isolate. An
interpreter ends by itself when its control socket closes.
"""

from __future__ import annotations

import os

from rstar_sandbox.guest import kernel, zygote
from rstar_sandbox.guest.parking import Users

TAKEN_OUT = (
    "close_devices", "forgetful_proc", "own_mounts", "become", "set_filter", "kill", "kill_user",
)  # fmt: skip
"""Functions of `kernel` that change more than the process they are called in."""


def main() -> None:
    """Serve until the host closes the pipe."""
    _take_out_isolation()
    zygote.main()


def _take_out_isolation() -> None:
    for name in TAKEN_OUT:
        setattr(kernel, name, _nothing)
    # By name, as above: these are not ours to assign as far as types go.
    setattr(kernel, "children", _no_children)  # noqa: B010
    setattr(Users, "new", _ourselves)  # noqa: B010


def _nothing(*_: object) -> None:
    return None


def _no_children(_: int) -> list[int]:
    return []


def _ourselves(_: Users) -> int:
    return os.getuid()


if __name__ == "__main__":
    main()

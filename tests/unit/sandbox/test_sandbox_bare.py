"""The bench's fork server without isolation touches nothing of the machine it runs on."""

from __future__ import annotations

import inspect

from rstar_sandbox.bench.bare import TAKEN_OUT
from rstar_sandbox.guest import kernel

HARMLESS = {"fork_interpreter", "cpu_seconds", "open_files", "address_space", "used_memory"}
REPLACED = {"children"}


def test_every_system_call_of_the_guest_is_taken_out_or_harmless():
    """A new one in `kernel` must be put into one of the lists."""
    functions = {
        name
        for name, value in inspect.getmembers(kernel, inspect.isfunction)
        if not name.startswith("_") and value.__module__ == kernel.__name__
    }
    assert functions == HARMLESS | REPLACED | set(TAKEN_OUT)

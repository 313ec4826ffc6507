"""Import all of one service's modules and say which distributions that loaded.

    python probe.py SERVICE          every module of the package
    python probe.py SERVICE main     its entry point alone, as `--help` does

Prints one JSON object: the top-level modules loaded that are not of the standard library. What
must not be among them is `FORBIDDEN`'s to say, and breaking it is the exit status.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys

TORCH = frozenset({"torch", "transformers", "numpy", "safetensors", "sympy"})
ENGINES = frozenset({"sglang", "sgl_kernel", "vllm"})
FRONTENDS = frozenset({"typer", "pyarrow", "rstar_cli", "rstar_client"})
SERVICES = ("searcher", "policy", "ppm", "sandbox", "trainer")

FORBIDDEN = {
    "searcher": TORCH | ENGINES | FRONTENDS | {"tokenizers", "httpx"},
    # Tokenizers import no torch; the engine is another process.
    "policy": TORCH | ENGINES | FRONTENDS,
    # torch brings sympy itself.
    "ppm": ENGINES | FRONTENDS,
    # The guest's packages live in the guest.
    "sandbox": TORCH | ENGINES | FRONTENDS | {"tokenizers", "httpx", "nats", "obstore"},
    "trainer": ENGINES | FRONTENDS,
}

NOT_OURS_TO_RUN = {
    "sandbox": ("rstar_sandbox.guest", "rstar_sandbox.bench"),
    "searcher": ("rstar_searcher.bench",),
}
"""The guest runs in gVisor only; a bench is started by hand."""


def load(service: str, *, main_only: bool) -> set[str]:
    """Import, and return the top-level names that are there afterwards."""
    package = importlib.import_module(f"rstar_{service}")
    skipped = NOT_OURS_TO_RUN.get(service, ())
    names = [f"rstar_{service}.main"]
    if not main_only:
        names = [
            module.name
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
            if not module.name.startswith(skipped) and not module.name.endswith("__main__")
        ]
    for name in names:
        importlib.import_module(name)
    return {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)


def main() -> None:
    """Probe one service."""
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in SERVICES:
        sys.exit(f"usage: probe.py {'|'.join(SERVICES)} [main]")
    service, main_only = sys.argv[1], sys.argv[2:] == ["main"]
    loaded = load(service, main_only=main_only)
    forbidden = FORBIDDEN[service] | {f"rstar_{other}" for other in SERVICES if other != service}
    if main_only:
        forbidden |= TORCH
    found = sorted(loaded & forbidden)
    report = {"service": service, "loaded": sorted(loaded), "forbidden": found}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

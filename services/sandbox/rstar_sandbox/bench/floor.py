"""What a fork alone costs: the part of a forked step that no fork server can do without.

The same few lines run as a step inside, on the fork server without gVisor, and in a process of its
own that has imported the same: fork, let the child end at once or after a little work, wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from rstar_sandbox.bench.figures import new_session
from rstar_sandbox.bench.variants import Variant

IMPORTS = "import json, os, signal, time\nimport numpy, sympy"
"""`os` keeps it from being plain, and its forks from running in an interpreter that is forked."""

FORKS = """
signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an interpreter that may be forked ignores it
def once(work):
    started = time.perf_counter()
    if not os.fork():
        if work:
            exec(compile("a = 1\\nb = str(a)", "<step>", "exec"), {})
        os._exit(0)
    os.wait()
    return (time.perf_counter() - started) * 1000

def median(values):
    return round(sorted(values)[len(values) // 2], 2)

print(json.dumps({
    "empty": median([once(False) for _ in range(21)]),
    "step": median([once(True) for _ in range(21)]),
}))
"""


async def fork_floor(variants: Mapping[str, Variant]) -> dict[str, dict[str, float]]:
    """Median milliseconds: of a child that ends at once, and of one that runs `a = 1` first."""
    return {
        name: json.loads((await variant.run(new_session(), [], [IMPORTS + FORKS]))[0])
        for name, variant in variants.items()
    }

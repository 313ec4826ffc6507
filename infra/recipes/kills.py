"""A recipe carried out twice in sequential mode, once under kill -9: are the two runs equal?

    python infra/recipes/kills.py infra/recipes/kills.toml --work /tmp/kills

The second run's trainer and searchers are killed in every phase of every round. Both runs must
give the same checkpoints, the same figures and the same number of results, and each batch one
result a problem. Prints one JSON line; the exit status is 1 if they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.5
RSTAR = str(Path(sys.executable).with_name("rstar"))
COMPARED = (
    "problems",
    "solved",
    "second_problems",
    "second_solved",
    "policy_version",
    "ppm_version",
)
MEASURED = ("name", "problems", "right", "undecided", "unanswered", "accuracy", "policy_version")


def rstar(home: Path, *arguments: str) -> str:
    """Output of a command on the stack of `home`."""
    done = subprocess.run(
        [RSTAR, *arguments, "--home", str(home)], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def phase_of(run: dict[str, Any]) -> str:
    """Round and phase: `0 SEARCHING`."""
    if not run.get("rounds"):
        return ""
    last = run["rounds"][-1]
    return f"{last.get('round', 0)} {last['phase'].removeprefix('ROUND_PHASE_')}"


def kill(home: Path) -> list[str]:
    """Kill -9 the trainer and the searchers of a stack; the supervisor starts them again."""
    units = json.loads((home / "supervisor.json").read_text())["units"]
    victims = [name for name in units if name.startswith(("trainer", "searcher"))]
    for name in victims:
        if pid := units[name]["pid"]:
            os.kill(pid, signal.SIGKILL)
    return victims


def carried_out(recipe: Path, home: Path, *, kills: bool) -> tuple[dict[str, Any], list[str]]:
    """The run's record, and the phases in which something was killed."""
    struck: list[str] = []
    try:
        rstar(home, "evolve", str(recipe), "--sequential", "--up", "--detach")
        while True:
            time.sleep(POLL_SECONDS)
            try:
                run = json.loads(rstar(home, "evolve", "status", recipe.stem, "--json"))
            except subprocess.CalledProcessError:  # the trainer is coming back
                continue
            if run["state"] != "RUN_STATE_RUNNING":
                return run, struck
            phase = phase_of(run)
            if kills and phase and phase not in struck:
                kill(home)
                struck.append(phase)
    finally:
        rstar(home, "down")


def compared(run: dict[str, Any]) -> list[dict[str, Any]]:
    """What must be the same in both runs."""
    return [
        {name: one.get(name) for name in COMPARED}
        | {"searched": one.get("search_cost", {}).get("rollouts")}
        | {"tokens": one.get("search_cost", {}).get("generated_tokens")}
        | {"measured": [{n: e.get(n) for n in MEASURED} for e in one.get("evaluations", [])]}
        for one in run["rounds"]
    ]


def main() -> int:
    """Run twice, compare, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where the two stacks keep state")
    options = parser.parse_args()
    began = time.monotonic()
    quiet, _ = carried_out(options.recipe, options.work / "quiet", kills=False)
    killed, struck = carried_out(options.recipe, options.work / "killed", kills=True)
    first, second = compared(quiet), compared(killed)
    line = {
        "benchmark": "evolution under kills",
        "states": [quiet["state"], killed["state"]],
        "killed_in": struck,
        "equal": first == second,
        "rounds": first if first == second else [first, second],
        "seconds": round(time.monotonic() - began, 1),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if first == second else 1


if __name__ == "__main__":
    sys.exit(main())

"""A recipe carried out twice in sequential mode, once under kill -9: are the two runs equal?

    python infra/recipes/kills.py infra/recipes/kills.toml --work /tmp/kills

The second run's trainer and its searcher are killed in every phase of every round, in both of its
searches, each alone, at moments drawn by `--seed` from how long the phase took the first time; in a
short one both as soon as it is seen, if it is. Both runs must give the same trees, node for node,
the same checkpoints and the same figures; each problem one tree and one result a batch, each job
one end, and no dead letter. Candidates that the policy made and programs that the sandbox ran are
told of both runs: what killed searches did again. Prints one JSON line; the exit status is 1 if
anything differs, if nothing was killed in a phase that was long enough, or if a round's search is
no witness: solved nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from rstar.v1 import tree_pb2

ARCHIVE = "run.tar"
POLL_SECONDS = 0.5
LONG_SECONDS = 5.0
"""A phase of this length is seen more than once, the start of a command included."""

KILLED = ("trainer", "searcher")
RSTAR = str(Path(sys.executable).with_name("rstar"))
COMPARED = (
    "problems",
    "solved",
    "second_problems",
    "second_solved",
    "second_policy",
    "policy_version",
    "ppm_version",
)
MEASURED = ("name", "problems", "right", "undecided", "unanswered", "accuracy", "policy_version")


COUNTED = {
    "candidates": ("policy", "rstar_policy_candidates_total"),
    "programs": ("sandbox", "rstar_sandbox_runs_total"),
}


@dataclass(frozen=True, slots=True)
class Carried:
    """A run that was carried out."""

    run: dict[str, Any]
    left: dict[str, Any]
    """What it left behind."""

    took: dict[str, float]
    """Seconds of each phase."""

    struck: dict[str, dict[str, float]]
    """Who was killed in each phase, so many seconds into it."""

    worked: dict[str, int]


def rstar(home: Path, *arguments: str, **environment: str) -> str:
    """Output of a command on the stack of `home`."""
    done = subprocess.run(
        [RSTAR, *arguments, "--home", str(home)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    return done.stdout


def phase_of(run: dict[str, Any]) -> str:
    """Round and phase: `0 SEARCHING`, and `0 SEARCHING AGAIN` of its second search."""
    if not run.get("rounds"):
        return ""
    last = run["rounds"][-1]
    again = " AGAIN" if "once more" in run.get("stage", "") else ""
    return f"{last.get('round', 0)} {last['phase'].removeprefix('ROUND_PHASE_')}{again}"


def kill(home: Path, victim: str) -> bool:
    """Kill -9 a service of a stack, which is started again. False if it does not run just now."""
    units = json.loads((home / "supervisor.json").read_text())["units"]
    pids = [unit["pid"] for name, unit in units.items() if name.startswith(victim)]
    try:
        for pid in filter(None, pids):
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return any(pids)


def trees_of(archive: Path) -> dict[str, list[str]]:
    """Digests of every tree of a run, clocks left out, by batch and problem."""
    found: dict[str, list[str]] = {}
    with tarfile.open(archive) as entries:
        for entry in entries:
            content = entries.extractfile(entry) if entry.name.startswith("trees/") else None
            if content is None or not entry.name.endswith(".pb"):
                continue
            tree = tree_pb2.Tree.FromString(content.read())
            nodes = [
                (node.parent, node.candidate.step.text, node.visits, node.value_sum, node.verdict)
                for node in tree.nodes
            ]
            name = f"{entry.name.split('/')[1]} {tree.problem.problem_id}"
            found.setdefault(name, []).append(hashlib.sha256(repr(nodes).encode()).hexdigest())
    return found


def lengths(run: dict[str, Any], seen: dict[str, float]) -> dict[str, float]:
    """How long every phase of a run took, in seconds: as it was seen, or as the record says."""
    recorded = {
        f"{one.get('round', 0)} {phase.upper().replace(' ', '_')}": seconds
        for one in run["rounds"]
        for phase, seconds in one["seconds"].items()
    }
    ends = [*list(seen.values())[1:], time.monotonic()]
    return recorded | {
        phase: end - begin for (phase, begin), end in zip(seen.items(), ends, strict=True) if phase
    }


def moments(took: dict[str, float], rng: Random) -> dict[str, dict[str, float]]:
    """When to strike whom, in seconds since a phase was first seen."""
    return {
        phase: {name: 0.8 * seconds * rng.random() for name in KILLED}
        if seconds >= LONG_SECONDS
        else dict.fromkeys(KILLED, 0.0)
        for phase, seconds in took.items()
    }


def left_behind(home: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Jobs and their ends, results of each batch and problem, dead letters."""
    batches = [
        name
        for one in run["rounds"]
        for name in (
            one.get("batch_id"),
            one.get("second_batch_id"),
            *(each.get("batch_id") for each in one.get("evaluations", [])),
        )
        if name
    ]
    jobs = json.loads(rstar(home, "jobs", "--json"))
    results = {
        name: sorted(
            json.loads(line)["problem_id"] for line in rstar(home, "results", name).splitlines()
        )
        for name in batches
    }
    return {
        "jobs": sorted((one["job_id"], one["state"]) for one in jobs),
        "results": results,
        "dead_letters": json.loads(rstar(home, "dead-letters", "--json")),
    }


def worked(home: Path) -> dict[str, int]:
    """What policy and sandbox, which nobody kills, did for a run: candidates, programs."""
    ports = json.loads((home / "state.json").read_text())["ports"]
    done = dict.fromkeys(COUNTED, 0)
    for name, (service, metric) in COUNTED.items():
        with urlopen(f"http://127.0.0.1:{ports[f'{service}_metrics']}/metrics", timeout=30) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        done[name] = sum(int(sample.value) for sample in samples if sample.name == metric)
    return done


def carried_out(recipe: Path, home: Path, kills: dict[str, dict[str, float]]) -> Carried:
    """A run, struck by `kills`; its archive is in `home`."""
    struck: dict[str, dict[str, float]] = {}
    seen: dict[str, float] = {}
    try:
        # As `rstar evolve --sequential --up` does, but with the bundled models, which search too.
        asked = tomllib.loads(recipe.read_text())["resources"]["environment"]
        started = asked | {"RSTAR_SEARCHER_MAX_BATCH_SEARCHES": "1"}
        rstar(home, "up", **started)
        rstar(home, "evolve", str(recipe), "--sequential", "--detach", **started)
        while True:
            time.sleep(POLL_SECONDS)
            try:
                run = json.loads(rstar(home, "evolve", "status", recipe.stem, "--json"))
            except subprocess.CalledProcessError:  # the trainer is coming back
                continue
            if run["state"] != "RUN_STATE_RUNNING":
                took = lengths(run, seen)
                rstar(home, "evolve", "export", recipe.stem, "-o", str(home / ARCHIVE))
                return Carried(run, left_behind(home, run), took, struck, worked(home))
            phase = phase_of(run)
            into = time.monotonic() - seen.setdefault(phase, time.monotonic())
            done = struck.get(phase, {})
            due = [k for k, at in kills.get(phase, {}).items() if k not in done and into >= at]
            if hit := [victim for victim in due if kill(home, victim)]:
                struck[phase] = done | dict.fromkeys(hit, round(into, 1))
    finally:
        rstar(home, "down")


def compared(run: dict[str, Any]) -> list[dict[str, Any]]:
    """What must be the same in both runs."""
    return [
        {name: one.get(name) for name in COMPARED}
        | {"searched": one.get("search_cost", {}).get("rollouts")}
        | {n: one.get("search_cost", {}).get(n) for n in ("generated_tokens", "ppm_calls")}
        | {"measured": [{n: e.get(n) for n in MEASURED} for e in one.get("evaluations", [])]}
        for one in run["rounds"]
    ]


def main() -> int:
    """Run twice, compare, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where the two stacks keep state")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    options = parser.parse_args()
    began = time.monotonic()
    quiet = carried_out(options.recipe, options.work / "quiet", {})
    kills = moments(quiet.took, Random(options.seed))
    killed = carried_out(options.recipe, options.work / "killed", kills)
    missed = [phase for phase in quiet.took if len(killed.struck.get(phase, {})) < len(KILLED)]
    spared = [phase for phase in missed if quiet.took[phase] >= LONG_SECONDS]
    first, second = compared(quiet.run), compared(killed.run)
    trees = [trees_of(options.work / name / ARCHIVE) for name in ("quiet", "killed")]
    equal = first == second and trees[0] == trees[1] and quiet.left == killed.left
    results = [each for found in killed.left["results"].values() for each in found]
    once = (
        all(len(each) == 1 for found in trees for each in found.values())
        and all(len(set(each)) == len(each) for each in killed.left["results"].values())
        and len(results) == len(trees[1]) > 0
    )
    witness = all(one["solved"] for one in first) and any(one["ppm_calls"] for one in first)
    states = [quiet.run["state"], killed.run["state"]]
    ended = {state for _, state in killed.left["jobs"]} == {"JOB_STATE_SUCCEEDED"}
    well = set(states) == {"RUN_STATE_SUCCEEDED"} and ended and not killed.left["dead_letters"]
    line = {
        "benchmark": "evolution under kills",
        "states": states,
        "killed_in": killed.struck,
        "too_short_to_be_seen": [phase for phase in missed if phase not in spared],
        "spared": spared,
        "equal": equal,
        "every_round_solves_something": witness,
        "trees": len(trees[0]),
        "one_tree_and_one_result_a_problem": once,
        "results": len(results),
        "jobs": len(killed.left["jobs"]),
        "all_jobs_succeeded": ended,
        "dead_letters": len(killed.left["dead_letters"]),
        "worked": {"quiet": quiet.worked, "killed": killed.worked},
        "rounds": first if first == second else [first, second],
        "seconds": round(time.monotonic() - began, 1),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if equal and once and well and witness and not spared else 1


if __name__ == "__main__":
    sys.exit(main())

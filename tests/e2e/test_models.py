"""The bundled models on the real engine: solve, train from the trees, swap without a restart."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MODELS = Path(__file__).parents[2] / "models"
TRAINING = Path(__file__).parents[2] / "data" / "dm_math" / "train.jsonl.gz"
DEMO = Path(__file__).parents[2] / "data" / "demo.jsonl"
QUESTION = "Solve 3*x + 4 = 19 for x."


@pytest.fixture(scope="module")
def rstar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A stack with policy and PPM as `rstar up` starts them."""
    run = CommandLine(tmp_path_factory.mktemp("models"))
    try:
        run("up", "--sandbox-slots", "2")
        yield run
    finally:
        run("down")


def version(model: str) -> str:
    return json.loads((MODELS / model / "manifest.json").read_text())["version"]


def test_the_bundled_models_search_with_steps_that_were_executed_and_scored(rstar):
    result = rstar.json("solve", QUESTION, "--seed", "1")
    assert result["versions"]["policy"] == version("policy")
    assert result["versions"]["ppm"] == version("ppm")
    assert int(result["cost"]["generated_tokens"]) > 0
    assert result["cost"]["ppm_calls"] > 0
    assert (result["status"], result["answer"]) == ("SEARCH_STATUS_ANSWERED", "5")


def test_the_bundled_policy_answers_most_of_the_demo(rstar, tmp_path):
    summary = rstar.json(
        *("eval", str(DEMO), "--strategy", "greedy", "--max-step-tokens", "256"),
        *("--trajectories", "1", "--out", str(tmp_path)),
    )
    [greedy] = summary["results"]
    assert greedy["problems"] == 24
    assert greedy["accuracy"]["selected"]["right"] >= 18  # it knows nine in ten such problems


def test_a_model_trained_from_the_stack_s_own_trees_is_served_without_a_restart(rstar, tmp_path):
    problems = tmp_path / "problems.jsonl"
    with gzip.open(TRAINING, "rt") as lines:
        short = [line for line in lines if len(json.loads(line)["question"]) < 50]
    problems.write_text("".join(short[:16]))
    rstar(
        *("submit", str(problems), "--batch", "own", "--with-references", "--watch"),
        *("--mode", "terminal-guided", "--rollouts", "4", "--candidates", "6"),
    )
    before = {unit["name"]: unit["pid"] for unit in rstar.json("status")["units"]}
    rstar("train", "policy", "--batch", "own", "--job", "own", "--untrained", "--promote")
    trained = next(
        c for c in rstar.json("checkpoints") if c.get("promoted") and c["model"] == "policy"
    )
    assert trained["version"] != version("policy")
    served = ""
    while served != trained["version"]:  # the test's own timeout bounds this
        # While the engine swaps, the policy is rightly not healthy: status says so and exits 3.
        units = {unit["name"]: unit for unit in rstar.json("status", expect=None)["units"]}
        served = units["policy"]["info"].get("policy_version", "")
    after = {unit["name"]: unit["pid"] for unit in rstar.json("status")["units"]}
    assert after == before
    rstar("promote", "policy", version("policy"))

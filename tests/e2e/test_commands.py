"""What a person does with the whole system, through the `rstar` command alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import grpc
import nats
import pytest

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, tree_pb2
from rstar_cli.local.procfs import marked
from rstar_cli.local.state import load
from tests.support.command_line import LONG_SEARCH, MANY_PROGRAMS, CommandLine
from tests.support.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROBLEMS = [
    {"id": "linear", "question": "Solve 3*x + 4 = 19 for x.", "answer": "5", "module": "linear"},
    {"id": "minutes", "question": "Solve 7*k - 3 = 4*k + 9 for k.", "answer": "4"},
    {"id": "false", "question": "Solve 2*t = 10 for t.", "answer": "6"},
]


def test_a_problem_is_solved_and_its_tree_shown(rstar, tmp_path):
    result = rstar.json("solve", "Solve 3*x + 4 = 19 for x.", "--seed", "1")
    assert result["answer"] == "5"
    assert result["versions"]["policy"].startswith("bootstrap-")
    page = tmp_path / "tree.html"
    rstar("tree", result["search_id"], "--html", str(page))
    assert "Solve 3*x + 4 = 19 for x." in page.read_text()
    assert "answer  5" in rstar("tree", result["search_id"])


def test_one_idempotency_key_is_one_search(rstar):
    ask = ("solve", "Solve 2*k = 14 for k.", "--key", "asked-twice")
    assert rstar.json(*ask)["search_id"] == rstar.json(*ask)["search_id"]


def test_impossible_settings_name_the_field(rstar):
    with rstar.begin("solve", "x" * 20_000) as solving:
        said, _ = solving.communicate(timeout=60)
    assert solving.returncode == 2
    assert "problem.question" in said


def test_ctrl_c_ends_the_search(rstar):
    many = ("--strategy", "best-of-n", "--rollouts", "1024", "--key", "interrupted")
    with rstar.begin("solve", LONG_SEARCH, *many) as solving:
        address = rstar.json("env")["RSTAR_ADDRESS"]
        eventually_true(lambda: search_status(address, "interrupted") == "SEARCH_STATUS_RUNNING")
        solving.send_signal(signal.SIGINT)
        output = solving.communicate(timeout=60)[0]
    assert solving.returncode == 130
    assert "cancelled search" in output
    assert "Traceback" not in output
    eventually_true(lambda: search_status(address, "interrupted") == "SEARCH_STATUS_CANCELLED")


def test_a_batch_is_published_watched_and_graded_afterwards(rstar, problems, tmp_path):
    rstar("submit", str(problems), "--batch", "graded", "--watch")
    lines = tmp_path / "out.jsonl"
    rstar("results", "graded", "-o", str(lines), "--grade", str(problems))
    graded = {line["problem_id"]: line for line in map(json.loads, lines.read_text().splitlines())}
    verdicts = {name: line["verdict"] for name, line in graded.items()}
    assert verdicts == {"linear": "equal", "minutes": "equal", "false": "unequal"}
    assert graded["linear"]["labels"] == {"module": "linear"}
    summary = rstar.json("results", "graded", "--grade", str(problems))
    assert (summary["problems"], summary["solved"], summary["undecided"]) == (3, 2, 0)


def test_publishing_a_batch_again_as_protobuf_changes_nothing(rstar, problems):
    for wire_format in ("json", "protobuf"):
        submit = ("submit", str(problems), "--batch", "again", "--format", wire_format)
        rstar(*submit, "--watch")
    [batch] = [batch for batch in rstar.json("batches") if batch["batch_id"] == "again"]
    assert (batch["total"], batch["done"], batch.get("dead", 0)) == (3, 3, 0)
    assert len(rstar("results", "again").splitlines()) == 3


def test_data_generation_carries_the_references(rstar, problems):
    mode = ("--mode", "terminal-guided", "--with-references")
    rstar("submit", str(problems), "--batch", "generated", *mode, "--watch")
    results = [json.loads(line) for line in rstar("results", "generated").splitlines()]
    [search] = [r["search_id"] for r in results if r["problem_id"] == "linear"]
    tree = rstar.json("tree", search)
    assert "VERDICT_EQUAL" in {node.get("verdict") for node in tree["nodes"]}


def test_a_large_batch_goes_through_the_store_and_can_be_paused_and_cancelled(rstar, tmp_path):
    path = tmp_path / "large.jsonl"
    line = {"question": f"{LONG_SEARCH} " + "Mind the gap. " * 1100, "answer": "5"}
    path.write_text("\n".join(json.dumps({"id": f"p{n}", **line}) for n in range(200)))
    assert path.stat().st_size > 1_000_000
    rstar("submit", str(path), "--batch", "large", *MANY_PROGRAMS)
    with rstar.begin("watch", "large") as watching:
        batches = lambda: {b["batch_id"]: b for b in rstar.json("batches")}  # noqa: E731
        eventually_true(lambda: batches().get("large", {}).get("total") == 200)
        assert rstar.json("pause", "large")["state"] == "BATCH_STATE_PAUSED"
        assert rstar.json("resume", "large")["state"] == "BATCH_STATE_RUNNING"
        assert rstar.json("cancel", "large")["state"] == "BATCH_STATE_CANCELLED"
        assert watching.wait(120) == 1


def test_ctrl_c_ends_the_watching_and_not_the_batch(rstar, tmp_path):
    path = tmp_path / "long.jsonl"  # it cannot have ended when the watching begins
    line = {"question": LONG_SEARCH, "answer": "5"}
    path.write_text("\n".join(json.dumps({"id": f"p{n}", **line}) for n in range(50)))
    rstar("submit", str(path), "--batch", "unwatched", *MANY_PROGRAMS)
    with rstar.begin("watch", "unwatched", "--json") as watching:
        assert '"unwatched"' in watching.stdout.readline()  # it has begun to watch
        watching.send_signal(signal.SIGINT)
        output = watching.communicate(timeout=90)[0]
        assert watching.returncode == 130
    assert "Traceback" not in output
    assert "still running; watch it again with: rstar watch unwatched" in output
    states = {batch["batch_id"]: batch["state"] for batch in rstar.json("batches")}
    assert states["unwatched"] == "BATCH_STATE_RUNNING"
    rstar("cancel", "unwatched")


async def test_a_message_that_is_no_batch_is_a_dead_letter_with_its_reason(rstar):
    client = await nats.connect((await asyncio.to_thread(rstar.json, "env"))["NATS_URL"])
    await client.jetstream().publish("rstar.batches.submit", b"not json")
    await client.close()
    await asyncio.to_thread(eventually_true, lambda: rstar.json("dead-letters"))
    [letter] = await asyncio.to_thread(rstar.json, "dead-letters")
    assert letter["failure"]["code"] == "FAILURE_CODE_INVALID_INPUT"
    assert "JSON" in await asyncio.to_thread(rstar, "dead-letters")


def test_status_tells_health_versions_and_memory(rstar):
    status = rstar.json("status")
    units = {unit["name"]: unit for unit in status["units"]}
    assert status["healthy"]
    assert units["policy"]["info"]["engine"] == "bootstrap"
    assert units["sandbox"]["info"]["sandbox_version"]
    assert all(unit["memory_bytes"] > 2**20 for unit in units.values())
    # What was cancelled before leaves the queue as searchers come to it.
    eventually_true(lambda: rstar.json("status")["queue"]["work"] == 0)
    assert "searcher1" in rstar("status")


def test_no_password_is_in_any_argument_list_and_the_state_is_private(rstar):
    state = load(rstar.home)
    secrets = (state.nats_password, state.s3_secret_key)
    for pid in marked(state.stack_id):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        assert not any(secret in arguments for secret in secrets)
    assert (rstar.home / "state.json").stat().st_mode & 0o077 == 0


def test_up_again_only_waits_and_other_options_are_refused(rstar):
    options = ("--policy", "bootstrap", "--no-ppm", "--sandbox-slots", "2")
    assert rstar.json("up", *options)["searcher1"].startswith("127.0.0.1:")
    rstar("up", "--policy", "bootstrap", "--searchers", "2", expect=1)
    # A recipe's environment is an option of its stack.
    with rstar.begin("evolve", "infra/recipes/smoke.toml", "--up") as evolving:
        said, _ = evolving.communicate(timeout=60)
    assert evolving.returncode == 1
    assert "a stack with other options runs in" in said


async def test_what_a_killed_supervisor_leaves_is_gone_after_down(tmp_path):
    run = CommandLine(tmp_path)
    await asyncio.to_thread(run, "up", "--policy", "bootstrap", "--no-ppm", "--sandbox-slots", "1")
    state = load(tmp_path)
    supervisor = json.loads((tmp_path / "supervisor.json").read_text())["pid"]
    # Services end with their supervisor: one that cannot is what it leaves.
    stuck = pid_of("rstar-searcher", state.stack_id)
    os.kill(stuck, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    await eventually(lambda: supervisor not in marked(state.stack_id))
    assert stuck in marked(state.stack_id)
    await asyncio.to_thread(run, "down")
    await eventually(lambda: not marked(state.stack_id))
    assert not any("rstar-" in name and str(tmp_path) in name for name in command_lines())


def pid_of(program, stack_id):
    return next(
        pid
        for pid in marked(stack_id)
        if program.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text("\n".join(map(json.dumps, PROBLEMS)))
    return path


def search_status(address, key):
    with grpc.insecure_channel(address) as channel:
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        try:
            request = searcher_pb2.GetSearchRequest(idempotency_key=key)
            return tree_pb2.SearchStatus.Name(stub.GetSearch(request, timeout=20).status)
        except grpc.RpcError:
            return ""


def eventually_true(condition):
    asyncio.run(eventually(condition, seconds=120))


def command_lines():
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue

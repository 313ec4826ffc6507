"""A real Prometheus scrapes all five services; every dashboard and alert finds its series."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import nats
import pytest
import pytest_asyncio
import yaml

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, trainer_pb2, trainer_pb2_grpc
from rstar_common import streams
from rstar_common.config import NatsSettings
from rstar_common.rpc import call, channel
from tests.support.deployment import INFRA, ROOT
from tests.support.promql import selectors
from tests.support.scraping import Prometheus, prometheus
from tests.support.servers import nats_server, object_store, service

pytestmark = pytest.mark.timeout(600)  # five services, and at first gVisor's root file system

START_SECONDS = 240.0

NOT_SEEN_HERE = {
    "rstar_policy_candidates_total": "counted of an engine; here proposes the bootstrap proposer",
    "rstar_policy_loaded": "no engine here",
    "rstar_policy_swaps_total": "nothing is promoted meanwhile",
    "rstar_policy_tokens_total": "no engine here",
    "rstar_ppm_swaps_total": "the PPM is pinned here",
    "rstar_rpc_denied_total": "nobody is denied",
    "rstar_rpc_refused_total": "nothing is full",
    "rstar_sandbox_restarts_total": "no sandbox dies",
    "rstar_searcher_retries_total": "nothing fails",
    "rstar_trainer_job_seconds": "no job is run",
    "rstar_trainer_jobs_total": "no job is run",
    "rstar_trainer_loss": "no job is run",
    "rstar_trainer_tokens_per_second": "no job is run",
}
"""Families that have no series until something happens that does not here. That their service
declares them is checked all the same; their labels are a unit test's business."""


async def comes_true(condition: Callable[[], Awaitable[bool]]) -> None:
    """Neither Prometheus nor a batch has an event to wait on."""
    async with asyncio.timeout(120):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def solve_one_and_a_batch(address: str, bus: NatsSettings) -> None:
    """One problem over gRPC; two by the queue; one message that is no batch."""
    connection = await nats.connect(
        bus.servers, user=bus.user, password=bus.password.get_secret_value()
    )
    jetstream = connection.jetstream()
    batch = {
        "batchId": "scraped",
        "problems": [
            {"problemId": str(number), "question": f"Calculate {number} + 4."}
            for number in range(2)
        ],
    }
    header = {"Content-Type": "application/json"}
    await jetstream.publish(streams.BATCH_SUBMIT, json.dumps(batch).encode(), headers=header)
    await jetstream.publish(streams.BATCH_SUBMIT, b"no batch", headers=header)
    async with channel(address) as wire:
        searcher = searcher_pb2_grpc.SearcherServiceStub(wire)
        request = searcher_pb2.SolveRequest()
        request.problem.question = "Calculate 3 + 4."
        await call(searcher.Solve(request, timeout=120))
        batches = searcher_pb2_grpc.BatchServiceStub(wire)

        async def done() -> bool:
            found = await call(batches.GetBatch(searcher_pb2.GetBatchRequest(batch_id="scraped")))
            return found.batch.state == searcher_pb2.BATCH_STATE_DONE

        await comes_true(done)
    await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """All services after a little work, and what Prometheus knows of them."""
    directory = tmp_path_factory.mktemp("scraped")
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(nats_server(directory / "nats"))
        store = await stack.enter_async_context(object_store(directory / "s3"))

        async def start(name: str, needs_both: bool = True, **environment: str) -> Any:
            prefix = f"RSTAR_{name.upper()}_"
            return await stack.enter_async_context(
                service(
                    name,
                    directory,
                    {f"{prefix}{key}": value for key, value in environment.items()},
                    nats=bus if needs_both else None,
                    store=store if needs_both else None,
                    ready_seconds=START_SECONDS,
                )
            )

        policy = await start("policy", ENGINE="bootstrap")
        ppm = await start("ppm", MODEL=str(ROOT / "models" / "ppm"))
        sandbox = await start("sandbox", needs_both=False, SANDBOX__SANDBOXES="1")
        trainer = await start(
            "trainer", WORK_DIR=str(directory / "work"), SEED_MODELS=str(directory)
        )
        searcher = await start(
            "searcher",
            POLICY_ADDRESS=policy.address,
            PPM_ADDRESS=ppm.address,
            SANDBOX_ADDRESS=sandbox.address,
            DEFAULTS__ROLLOUTS="2",
            DEFAULTS__CANDIDATES="4",
        )
        targets = {
            each.name: each.metrics_url for each in (searcher, policy, ppm, sandbox, trainer)
        }
        metrics = directory / "metrics"
        metrics.mkdir()
        known = await stack.enter_async_context(prometheus(metrics, targets))
        await comes_true(lambda: known.scraped(1))
        async with channel(trainer.address) as wire:
            jobs = trainer_pb2_grpc.TrainerServiceStub(wire)
            await call(jobs.ListJobs(trainer_pb2.ListJobsRequest()))
        await solve_one_and_a_batch(searcher.address, bus)
        scrapes = max(float(n["value"][1]) for n in await known.query("sum_over_time(up[5m])"))

        # Levels of the queue are asked for every ten seconds; rates want several scrapes.
        async def told() -> bool:
            dead = await known.query('rstar_stream_messages{stream="RSTAR_DEAD"} > 0')
            return bool(dead) and await known.scraped(int(scrapes) + 5)

        await comes_true(told)
        yield known


def expressions() -> dict[str, str]:
    """Every query of the dashboards and every alert, as Prometheus takes it."""
    found = {}
    for path in sorted((INFRA / "observability" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                name = f"{path.stem}: {panel['title']}: {target['refId']}"
                found[name] = target["expr"].replace("$__rate_interval", "1m")
    document = yaml.safe_load((INFRA / "observability" / "alerts.yaml").read_text())
    for rule in document["groups"][0]["rules"]:
        found[rule["alert"]] = rule["expr"]
    return found


def unseen(expression: str) -> set[str]:
    return {selector.family for selector in selectors(expression)} & set(NOT_SEEN_HERE)


@pytest.mark.asyncio(loop_scope="module")
async def test_every_selector_finds_its_series(scraped: Prometheus) -> None:
    wanted: set[str] = set()
    for expression in expressions().values():
        wanted |= {
            selector.text()
            for selector in selectors(expression)
            if selector.family not in NOT_SEEN_HERE
        }
    missing = [text for text in sorted(wanted) if not await scraped.query(text)]
    assert missing == []


@pytest.mark.asyncio(loop_scope="module")
async def test_every_dashboard_query_is_answered(scraped: Prometheus) -> None:
    empty = []
    for name, expression in expressions().items():
        result = await scraped.query(expression)
        if not result and not name.startswith("Rstar") and not unseen(expression):
            empty.append(f"{name}: {expression}")
    # What counts failures finds none, which is as it should be.
    assert [line for line in empty if "Calls that failed" not in line] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_not_seen_is_declared_all_the_same(scraped: Prometheus) -> None:
    metadata = await scraped.metadata()
    # In OpenMetrics a counter's family has no suffix.
    named = {name for name in NOT_SEEN_HERE if {name, name.removesuffix("_total")} & set(metadata)}
    assert set(NOT_SEEN_HERE) - named == set()


@pytest.mark.asyncio(loop_scope="module")
async def test_no_alert_fires_but_that_of_the_dead_letter(scraped: Prometheus) -> None:
    firing = await scraped.query('ALERTS{alertstate="firing"}')
    assert {alert["metric"]["alertname"] for alert in firing} == {"RstarDeadLetters"}
    assert await scraped.query("max(rstar_queue_waiting) == 0")
    cost = await scraped.query('sum(rstar_search_cost_total{kind="sandbox_runs"})')
    assert float(cost[0]["value"][1]) > 0

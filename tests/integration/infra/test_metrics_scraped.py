"""All five services watched: Prometheus finds every series, a collector one trace a problem."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import nats
import pytest
import pytest_asyncio
import yaml

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, trainer_pb2, trainer_pb2_grpc
from rstar_common import streams
from rstar_common.config import NatsSettings
from rstar_common.rpc import call, channel
from tests.support.collector import Collector, collector
from tests.support.deployment import INFRA, ROOT
from tests.support.promql import selectors
from tests.support.scraping import Prometheus, prometheus
from tests.support.servers import Service, nats_server, object_store, service

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
    "rstar_searcher_window_wait_seconds": "no window is full",
    "rstar_trainer_job_seconds": "no job is run",
    "rstar_trainer_jobs_total": "no job is run",
    "rstar_trainer_loss": "no job is run",
    "rstar_trainer_tokens_per_second": "no job is run",
}
"""Families that have no series until something happens that does not here. That their service
declares them is checked all the same; their labels are a unit test's business."""


async def comes_true(condition: Callable[[], Awaitable[bool]]) -> None:
    """Neither Prometheus nor a batch has an event to wait on."""
    async with asyncio.timeout(300):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.2)


SECRET_QUESTION = "Calculate 31 + 47."
"""Of the problem whose trace is looked at; neither it nor its answer is to be found there."""


async def solve_one_and_a_batch(address: str, bus: NatsSettings) -> None:
    """One problem over gRPC, three by the queue, of which one is judged; a message that is none."""
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
    judged = {
        "batchId": "judged",
        "problems": [{"problemId": "0", "question": SECRET_QUESTION, "reference": "78"}],
        "settings": {"mode": "SEARCH_MODE_PPM_AUGMENTED", "candidates": 8, "rollouts": 8},
    }
    header = {"Content-Type": "application/json"}
    for submission in (batch, judged):
        payload = json.dumps(submission).encode()
        await jetstream.publish(streams.BATCH_SUBMIT, payload, headers=header)
    await jetstream.publish(streams.BATCH_SUBMIT, b"no batch", headers=header)
    async with channel(address) as wire:
        searcher = searcher_pb2_grpc.SearcherServiceStub(wire)
        request = searcher_pb2.SolveRequest()
        request.problem.question = "Calculate 3 + 4."
        await call(searcher.Solve(request, timeout=120))
        batches = searcher_pb2_grpc.BatchServiceStub(wire)

        for batch_id in ("scraped", "judged"):

            async def done(named: str = batch_id) -> bool:
                found = await call(batches.GetBatch(searcher_pb2.GetBatchRequest(batch_id=named)))
                return found.batch.state == searcher_pb2.BATCH_STATE_DONE

            await comes_true(done)
    await connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is known of the services from outside."""

    prometheus: Prometheus
    collector: Collector
    services: list[Service]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """All services after a little work, and what Prometheus and the collector know of them."""
    directory = tmp_path_factory.mktemp("watched")
    async with AsyncExitStack() as stack:
        traces = stack.enter_context(collector())
        tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        bus = await stack.enter_async_context(nats_server(directory / "nats"))
        store = await stack.enter_async_context(object_store(directory / "s3"))

        async def start(name: str, needs_both: bool = True, **environment: str) -> Any:
            prefix = f"RSTAR_{name.upper()}_"
            return await stack.enter_async_context(
                service(
                    name,
                    directory,
                    {f"{prefix}{key}": value for key, value in environment.items()} | tracing,
                    nats=bus if needs_both else None,
                    store=store if needs_both else None,
                    ready_seconds=START_SECONDS,
                )
            )

        async with asyncio.TaskGroup() as group:
            starting = [
                group.create_task(each)
                for each in (
                    start("policy", ENGINE="bootstrap"),
                    start("ppm", MODEL=str(ROOT / "models" / "ppm")),
                    start("sandbox", needs_both=False, SANDBOX__SANDBOXES="1"),
                    start("trainer", WORK_DIR=str(directory / "work"), SEED_MODELS=str(directory)),
                )
            ]
        policy, ppm, sandbox, trainer = (each.result() for each in starting)
        searcher = await start(
            "searcher",
            POLICY_ADDRESS=policy.address,
            PPM_ADDRESS=ppm.address,
            SANDBOX_ADDRESS=sandbox.address,
            DEFAULTS__ROLLOUTS="2",
            DEFAULTS__CANDIDATES="4",
        )
        services = [searcher, policy, ppm, sandbox, trainer]
        targets = {each.name: each.metrics_url for each in services}
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
        yield Watched(prometheus=known, collector=traces, services=services)


@pytest.fixture(scope="module")
def scraped(watched: Watched) -> Prometheus:
    """What Prometheus knows."""
    return watched.prometheus


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


@pytest.mark.asyncio(loop_scope="module")
async def test_one_trace_follows_a_problem_through_the_queue_and_every_service(
    watched: Watched,
) -> None:
    async def arrived() -> bool:
        return any(span.name == "problem" for span in of_the_judged(watched.collector))

    await comes_true(arrived)
    trace = of_the_judged(watched.collector)
    assert {(span.service, span.name) for span in trace} == {
        ("rstar-searcher", "enqueue"),  # the intake publishes to NATS
        ("rstar-searcher", "problem"),  # a searcher takes it from there
        ("rstar-searcher", "queue"),
        ("rstar-searcher", "search"),
        ("rstar-searcher", "expansion"),
        ("rstar-searcher", "store"),
        *(("rstar-searcher", step) for step in ("propose", "execute", "score", "judge")),
        ("rstar-policy", "Propose"),
        ("rstar-sandbox", "Execute"),
        ("rstar-sandbox", "Judge"),
        ("rstar-ppm", "Score"),
    }
    by_id = {span.span_id: span for span in trace}
    [enqueue] = [span for span in trace if not span.parent_id]
    assert enqueue.name == "enqueue"
    parents = {(span.name, by_id[span.parent_id].name) for span in trace if span.parent_id}
    assert parents == {
        ("problem", "enqueue"),
        ("queue", "problem"),
        ("search", "problem"),
        ("expansion", "search"),
        ("store", "search"),
        *((step, "expansion") for step in ("propose", "execute", "score", "judge")),
        *((step.capitalize(), step) for step in ("propose", "execute", "score", "judge")),
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_a_problem_asked_over_grpc_has_a_trace_too(watched: Watched) -> None:
    async def arrived() -> bool:
        return any(span.name == "Solve" for span in watched.collector.spans)

    await comes_true(arrived)
    [solve] = [span for span in watched.collector.spans if span.name == "Solve"]
    services = {span.service for span in watched.collector.trace(solve.trace_id)}
    assert services >= {"rstar-searcher", "rstar-policy", "rstar-ppm", "rstar-sandbox"}


@pytest.mark.asyncio(loop_scope="module")
async def test_spans_hold_no_text_of_problem_or_model(watched: Watched) -> None:
    everything = " ".join(
        span.raw.SerializeToString().decode("latin-1") for span in watched.collector.spans
    )
    for text in (SECRET_QUESTION, "31 + 47", "print(", "import", "Calculate"):
        assert text not in everything
    [search] = [span for span in of_the_judged(watched.collector) if span.name == "search"]
    assert search.attributes["question_characters"] == str(len(SECRET_QUESTION))


def of_the_judged(known: Collector) -> list[Any]:
    """The trace of the judged problem; empty before any of it has arrived."""
    found = {span.trace_id for span in known.spans if span.attributes.get("batch_id") == "judged"}
    assert len(found) <= 1
    return known.trace(found.pop()) if found else []

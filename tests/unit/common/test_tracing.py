"""What spans hold and where they lead; that without a collector there are none."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rstar_common import tracing
from rstar_common.errors import Overloaded
from rstar_common.telemetry import JsonFormatter


@pytest.fixture
def spans():
    """What has ended, by name; tracing is on meanwhile."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.trace_to(provider)
    yield lambda: {span.name: span for span in exporter.get_finished_spans()}
    tracing.trace_to(None)
    provider.shutdown()


def test_without_a_collector_nothing_is_sent_along_and_nothing_is_imported():
    code = """
import sys
from rstar_common import bus, rpc, telemetry, tracing
from rstar_common.config import TelemetrySettings
telemetry.setup_logging("policy", TelemetrySettings())
with tracing.continued("Propose", {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}):
    assert tracing.span("a") is tracing.span("b") is tracing.new_trace("c")
    assert tracing.headers() == {}
sys.exit([name for name in sys.modules if name.startswith("opentelemetry")] or 0)
"""
    clean = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean)
    assert (done.returncode, done.stderr) == (0, "")


def test_work_goes_on_elsewhere_in_the_same_trace(spans):
    with tracing.continued("problem", {}), tracing.span("propose", candidates=4):
        sent = tracing.headers()
    with tracing.continued("Propose", sent), tracing.span("store"):
        pass
    found = spans()
    assert len({span.context.trace_id for span in found.values()}) == 1
    parents = {name: span.parent and span.parent.span_id for name, span in found.items()}
    assert parents == {
        "problem": None,
        "propose": found["problem"].context.span_id,
        "Propose": found["propose"].context.span_id,
        "store": found["Propose"].context.span_id,
    }
    assert found["propose"].attributes == {"candidates": 4}


def test_a_part_of_nothing_is_not_recorded(spans):
    with tracing.span("store"):
        tracing.waited("queue", 1.0)
    assert spans() == {}


def test_a_trace_of_its_own_refers_to_what_began_it(spans):
    with tracing.continued("batch", {}), tracing.new_trace("enqueue"):
        sent = tracing.headers()
    with tracing.continued("problem", sent):
        pass
    found = spans()
    assert found["enqueue"].context.trace_id == found["problem"].context.trace_id
    assert found["enqueue"].context.trace_id != found["batch"].context.trace_id
    assert found["enqueue"].links[0].context.span_id == found["batch"].context.span_id


def test_a_failure_is_named_by_its_class_and_never_by_its_words(spans):
    def fail(name: str, error: BaseException) -> None:
        with pytest.raises(type(error)), tracing.continued(name, {}):
            raise error

    fail("refused", Overloaded("forty-two"))
    fail("broken", ValueError("forty-two"))
    fail("left", asyncio.CancelledError())
    found = spans()
    assert found["refused"].attributes["error.type"] == "Overloaded"
    assert found["broken"].attributes["error.type"] == "bug: ValueError"
    assert found["left"].attributes == {"cancelled": True}
    assert found["left"].status.is_ok or found["left"].status.is_unset
    assert not any("forty" in span.to_json() for span in found.values())


async def test_tasks_belong_to_the_span_in_which_they_began(spans):
    async def expand() -> None:
        with tracing.span("expansion"):
            await asyncio.sleep(0)

    with tracing.continued("search", {}):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(expand()) for _ in range(2)]
    assert all(task.done() for task in tasks)
    found = spans()
    assert found["expansion"].parent.span_id == found["search"].context.span_id


def test_waiting_in_the_queue_is_a_span_that_began_before(spans):
    with tracing.continued("problem", {}):
        tracing.waited("queue", 5.0)
    found = spans()
    assert found["queue"].start_time == 5_000_000_000
    assert found["queue"].end_time >= found["problem"].start_time


def test_a_log_line_names_the_search_and_the_trace_of_its_work(spans):
    def line() -> dict[str, str]:
        record = logging.makeLogRecord({"msg": "refused", "levelname": "WARNING"})
        return json.loads(JsonFormatter("sandbox").format(record))

    with tracing.about(search_id="s-1", batch_id="eu/2024:a"), tracing.continued("Execute", {}):
        said = line()
        with tracing.about(search_id='no id: {"x"}', batch_id=""):
            assert line()["search_id"] == "s-1"
    assert (said["search_id"], said["batch_id"]) == ("s-1", "eu/2024:a")
    assert said["trace_id"] == f"{spans()['Execute'].context.trace_id:032x}"
    assert not {"search_id", "trace_id"} & set(line())

"""A new process takes over from an old one, and whoever calls meanwhile is answered."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager

from grpc_health.v1 import health_pb2, health_pb2_grpc

from rstar_cli.local.plan import Unit
from rstar_cli.local.ports import free_ports
from rstar_cli.local.process import Command
from rstar_cli.local.replacing import ORDER_FILE, ordered
from rstar_cli.local.supervisor import Supervisor
from rstar_common.config import GrpcServerSettings
from rstar_common.errors import Unavailable
from rstar_common.rpc import Readiness, call, channel, grpc_server
from tests.support.eventually import eventually

PROGRAM = """
import os, signal, sys, time
from rstar_common.notify import notify_ready
say = lambda what: print(what, os.environ.get("ROLE", "first"), flush=True)
def leave(*_):
    say("ends")
    sys.exit()
signal.signal(signal.SIGTERM, leave)
say("starts")
if os.environ.get("FAILS"):
    sys.exit(1)
notify_ready()
while True:
    time.sleep(60)
"""


async def test_the_old_process_ends_when_the_new_one_serves(tmp_path):
    async with supervised(tmp_path, {"ROLE": "second"}) as supervisor:
        await eventually(lambda: said(tmp_path) == ["starts first"])
        first = report(tmp_path)["pid"]
        supervisor.replace(["a"])
        await eventually(lambda: report(tmp_path)["replaced"] == 1)
        assert said(tmp_path) == ["starts first", "starts second", "ends first"]
        assert report(tmp_path)["pid"] not in (0, first)
        assert report(tmp_path)["restarts"] == 0


async def test_a_new_process_that_does_not_come_to_serve_changes_nothing(tmp_path):
    async with supervised(tmp_path, {"ROLE": "second", "FAILS": "1"}) as supervisor:
        await eventually(lambda: said(tmp_path) == ["starts first"])
        first = report(tmp_path)["pid"]
        supervisor.replace(["a"])
        await eventually(lambda: report(tmp_path)["refused"] == 1)
        assert report(tmp_path)["pid"] == first
        assert said(tmp_path) == ["starts first", "starts second"]


async def test_one_that_cannot_share_is_stopped_first(tmp_path):
    async with supervised(tmp_path, {}) as supervisor:
        await eventually(lambda: said(tmp_path) == ["starts first"])
        supervisor.replace(["a", "nobody"])
        await eventually(lambda: report(tmp_path)["replaced"] == 1)
        await eventually(lambda: said(tmp_path)[1:] == ["ends first", "starts first"])


async def test_calls_are_answered_while_one_server_replaces_another():
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    old_stop, new_stop = asyncio.Event(), asyncio.Event()
    listening = {name: asyncio.Event() for name in ("old", "new")}
    ready = Readiness()

    def server(name: str, readiness: Readiness | None = None, **how: bool):
        settings = GrpcServerSettings(address=address, drain_seconds=5, **how)
        return grpc_server(
            settings,
            lambda server: None,
            service_names=[],
            on_listening=lambda _: listening[name].set(),
            readiness=readiness,
        )

    async with asyncio.TaskGroup() as group:
        old = group.create_task(server("old", shared_port=True)(old_stop))
        await listening["old"].wait()
        asked = 0
        async with channel(address) as wire:
            health = health_pb2_grpc.HealthStub(wire)

            async def keep_asking(until: asyncio.Task[None]) -> None:
                nonlocal asked
                while not until.done():
                    # What was sent to a server that had just left is asked again, once.
                    for attempt in (1, 2):
                        try:
                            await call(health.Check(health_pb2.HealthCheckRequest(), timeout=60))
                        except Unavailable:
                            if attempt == 2:
                                raise
                        else:
                            break
                    asked += 1

            asking = group.create_task(keep_asking(old))
            new = group.create_task(server("new", ready, shared_port=True, replaces=True)(new_stop))
            await eventually(lambda: asked > 20)
            assert not listening["new"].is_set(), "it is not ready yet"
            ready.set(True)
            await listening["new"].wait()
            old_stop.set()
            await asking
            reply = await health.Check(health_pb2.HealthCheckRequest(), timeout=60)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        assert not new.done()
        new_stop.set()


async def test_a_server_told_to_stop_before_it_is_ready_stops():
    [port] = free_ports(1)
    settings = GrpcServerSettings(address=f"127.0.0.1:{port}", replaces=True)
    stop = asyncio.Event()
    server = grpc_server(settings, lambda server: None, service_names=[], readiness=Readiness())
    running = asyncio.ensure_future(server(stop))
    await asyncio.sleep(0)
    stop.set()
    await running


def test_an_order_that_cannot_be_read_orders_nothing(tmp_path):
    assert ordered(tmp_path) == []
    (tmp_path / ORDER_FILE).write_text("{half")
    assert ordered(tmp_path) == []


@asynccontextmanager
async def supervised(home, takes_over):
    command = Command(name="a", argv=(sys.executable, "-c", PROGRAM), log=home / "a.log")
    unit = Unit(command=command, stage=1, grace_seconds=30, takes_over=takes_over)

    async def nothing() -> None:
        pass

    supervisor = Supervisor([unit], home, foundations_ready=nothing)
    stop = asyncio.Event()
    task = asyncio.create_task(supervisor.run(stop))
    try:
        yield supervisor
    finally:
        stop.set()
        await task


def report(home):
    try:
        return json.loads((home / "supervisor.json").read_text())["units"]["a"]
    except FileNotFoundError:
        return {"pid": 0, "replaced": 0, "refused": 0, "restarts": 0}


def said(home) -> list[str]:
    log = home / "a.log"
    return log.read_text().splitlines() if log.exists() else []

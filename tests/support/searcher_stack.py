"""A searcher in this process: real NATS, real S3, real gRPC; policy, ppm and sandbox scripted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from nats.aio.client import Client

from rstar.v1 import events_pb2, searcher_pb2, searcher_pb2_grpc
from rstar_common import streams
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected, publish_once
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.consumer import Consumer, Route
from rstar_searcher.batch_servicer import BatchServicer
from rstar_searcher.batches import Batches
from rstar_searcher.intake import Intake
from rstar_searcher.meter import Meter
from rstar_searcher.quota import Quotas
from rstar_searcher.records import SearchRecords
from rstar_searcher.request import SearchRequest
from rstar_searcher.runner import Runner
from rstar_searcher.servicer import SearcherServicer
from rstar_searcher.settings import SearchSettings
from rstar_searcher.taking import Taker
from rstar_searcher.tenants import Tenant, Tenants
from rstar_searcher.turns import Turns
from rstar_searcher.work import Work
from tests.support.toy_world import ToyWorld

DEFAULTS = SearchSettings(rollouts=4, candidates=4, max_wall_seconds=20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What a test needs to talk to the searcher and to look behind it."""

    bus: Client
    store: ObjectStore
    batches: Batches
    records: SearchRecords
    runner: Runner
    running: asyncio.Task[None]
    """The runner: cancelled, it stops as a searcher does that did not drain in time."""

    worlds: list[ToyWorld]
    searcher: searcher_pb2_grpc.SearcherServiceAsyncStub
    batch: searcher_pb2_grpc.BatchServiceAsyncStub

    async def publish(
        self, payload: bytes, content_type: str = "application/json", *, tenant: str = ""
    ) -> int:
        """As any NATS client would; the submission's sequence."""
        return await publish_once(
            self.bus.jetstream(),
            streams.submit_subject(tenant),
            payload,
            headers={"Content-Type": content_type},
        )

    async def finished(self, batch_id: str, *, seconds: float = 90.0) -> searcher_pb2.Batch:
        """Wait until every problem of a batch has a result or a dead letter."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    response = await self.batch.GetBatch(
                        searcher_pb2.GetBatchRequest(batch_id=batch_id)
                    )
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise
                else:
                    if response.batch.state == searcher_pb2.BATCH_STATE_DONE:
                        return response.batch
                await asyncio.sleep(0.05)

    async def results(self, batch_id: str) -> list[searcher_pb2.BatchResult]:
        """Every result of a batch."""
        response = await self.batch.ListBatchResults(
            searcher_pb2.ListBatchResultsRequest(batch_id=batch_id, page_size=1000)
        )
        return list(response.results)


def submission(batch_id: str, count: int = 3, **settings: object) -> events_pb2.BatchSubmission:
    """A batch of toy problems."""
    batch = events_pb2.BatchSubmission(batch_id=batch_id)
    for index in range(count):
        batch.problems.add(problem_id=f"p{index}", question=f"toy {index}?")
    for name, value in settings.items():
        setattr(batch.settings, name, value)
    return batch


def new_id(prefix: str) -> str:
    """A name of this test's own."""
    return f"{prefix}-{uuid.uuid4().hex}"


@asynccontextmanager
async def searcher_stack(
    nats: NatsSettings,
    store_settings: ObjectStoreSettings,
    *,
    world: Callable[[Meter], ToyWorld] = ToyWorld,
    make_store: Callable[[ObjectStoreSettings], ObjectStore] = ObjectStore,
    max_interactive: int = 4,
    consume: bool = True,
    ack_wait_seconds: float = 2.0,
    max_attempts: int = 2,
    lease_seconds: float = 6.0,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    tenants: Sequence[Tenant] = (),
    places: int = 2,
    defaults: SearchSettings = DEFAULTS,
) -> AsyncGenerator[Stack]:
    """Serve until the block ends."""
    stop = asyncio.Event()
    worlds: list[ToyWorld] = []

    def make_services(_request: SearchRequest, meter: Meter) -> ToyWorld:
        worlds.append(world(meter))
        return worlds[-1]

    async with connected(nats, name="test") as bus:
        jetstream = bus.jetstream()
        await streams.ensure_topology(jetstream)
        store = make_store(store_settings)
        await store.ready()
        everybody = Tenants(tenants)
        batches = Batches(
            jetstream, await streams.key_value(jetstream, streams.BATCH_RECORDS), everybody
        )
        quotas = Quotas(everybody, jetstream, await streams.key_value(jetstream, streams.USAGE))
        records = SearchRecords(
            await streams.key_value(jetstream, streams.SEARCH_RECORDS), lease_seconds=lease_seconds
        )
        attempts = await streams.key_value(jetstream, streams.ATTEMPTS)
        runner = Runner(
            make_services, records, store, bus, max_interactive=max_interactive, quotas=quotas
        )
        work = Work(batches, records, runner, defaults)
        server = grpc.aio.server(interceptors=interceptors)
        searcher_pb2_grpc.add_SearcherServiceServicer_to_server(
            SearcherServicer(runner, records, store, bus, defaults, quotas), server
        )
        searcher_pb2_grpc.add_BatchServiceServicer_to_server(BatchServicer(batches), server)
        port = server.add_insecure_port("127.0.0.1:0")
        runner.address = f"127.0.0.1:{port}"
        await server.start()

        def consumer(
            stream: str, durable: str, subject: str, handler, bury, max_held: int
        ) -> tuple[Route, Consumer]:
            route = Route(
                stream=stream,
                durable=durable,
                filter_subject=subject,
                ack_wait_seconds=ack_wait_seconds,
                fetch_seconds=0.2,  # a stack ends when its consumers have waited for nothing
                max_attempts=max_attempts,
                max_outages=max_attempts,
                max_held=max_held or 1000,
            )
            return route, Consumer(jetstream, attempts, route, handler, bury, concurrency=2)

        def intake_for(tenant: Tenant) -> Consumer:
            intake = Intake(batches, store, defaults, everybody, tenant=tenant, admit=quotas.admit)
            durable, subject = streams.intake_of(tenant.name), streams.submit_subject(tenant.name)
            return consumer(streams.BATCHES, durable, subject, intake.handle, intake.bury, 0)[1]

        taker = Taker(
            bus,
            {
                tenant.name: consumer(
                    streams.WORK,
                    streams.searchers_of(tenant.name),
                    streams.work_subjects(tenant.name),
                    work.handle,
                    work.bury,
                    tenant.max_searches,
                )
                for tenant in everybody
            },
            Turns({tenant.name: tenant.weight for tenant in everybody}),
            places=places,
            spent=quotas.exhausted,
        )

        async with (
            asyncio.TaskGroup() as group,
            grpc.aio.insecure_channel(runner.address) as channel,
        ):
            running = group.create_task(runner.run(stop))
            if consume:
                for one in (taker, *map(intake_for, everybody)):
                    group.create_task(one.run(stop))
            try:
                yield Stack(
                    bus=bus,
                    store=store,
                    batches=batches,
                    records=records,
                    runner=runner,
                    running=running,
                    worlds=worlds,
                    searcher=searcher_pb2_grpc.SearcherServiceStub(channel),
                    batch=searcher_pb2_grpc.BatchServiceStub(channel),
                )
            finally:
                stop.set()
                await server.stop(grace=0)

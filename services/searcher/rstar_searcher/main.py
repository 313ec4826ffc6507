"""Entry point: read settings, build, run. The only file that knows everyone."""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

    from rstar_searcher.service_settings import SearcherSettings

EPILOG = """\
Settings come from the TOML file named by RSTAR_CONFIG and from environment variables that
begin with RSTAR_SEARCHER_, for example:

  RSTAR_SEARCHER_POLICY_ADDRESS=127.0.0.1:50051 \\
  RSTAR_SEARCHER_SANDBOX_ADDRESS=127.0.0.1:50053 rstar-searcher
"""


def main() -> None:
    """Run until SIGTERM."""
    argparse.ArgumentParser(
        prog="rstar-searcher",
        description="Searches maths problems: gRPC Solve and SolveStream, and the problem queue.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    from rstar_common.config import load_settings
    from rstar_common.lifecycle import run_main
    from rstar_common.telemetry import setup_logging
    from rstar_searcher.garbage import spare_the_old
    from rstar_searcher.service_settings import SearcherSettings

    spare_the_old()
    settings = load_settings(SearcherSettings)
    setup_logging("searcher", settings.telemetry)
    run_main(serve(settings))


async def serve(settings: SearcherSettings) -> None:
    """Serve until a signal arrives."""
    from rstar.v1 import searcher_pb2_grpc
    from rstar_common import streams
    from rstar_common.artifacts import ObjectStore
    from rstar_common.bus import connected, watch
    from rstar_common.lifecycle import run_service
    from rstar_common.nats_roles import role_of
    from rstar_common.rpc import grpc_server
    from rstar_common.telemetry import metrics_server
    from rstar_searcher.batch_servicer import BatchServicer
    from rstar_searcher.batches import Batches
    from rstar_searcher.clients import connect
    from rstar_searcher.intake import Intake
    from rstar_searcher.queue import Queue
    from rstar_searcher.queue_gauges import PLACES, QueueGauges
    from rstar_searcher.quota import Quotas
    from rstar_searcher.records import SearchRecords
    from rstar_searcher.runner import Runner, grpc_services
    from rstar_searcher.servicer import SearcherServicer
    from rstar_searcher.work import Work

    async with AsyncExitStack() as stack:
        tiers = await connect(
            stack,
            policy=settings.policy_address,
            ppm=settings.ppm_address,
            sandbox=settings.sandbox_address,
            peers=settings.peers,
            call_seconds=settings.call_seconds.model_dump(),
        )
        store = ObjectStore(settings.object_store)
        bus = await stack.enter_async_context(connected(settings.nats, name="rstar-searcher"))
        await store.ready()
        jetstream = bus.jetstream()
        replicas = settings.nats.replicas
        await streams.ensure_streams(jetstream, *role_of("searcher").makes, replicas=replicas)
        tenants = settings.all_tenants()
        batches = Batches(
            jetstream,
            await streams.key_value(jetstream, streams.BATCH_RECORDS, replicas=replicas),
            tenants,
        )
        usage = None
        if any(tenant.tokens_per_day for tenant in tenants):
            usage = await streams.key_value(jetstream, streams.USAGE, replicas=replicas)
        quotas = Quotas(tenants, jetstream, usage)
        records = SearchRecords(
            await streams.key_value(jetstream, streams.SEARCH_RECORDS, replicas=replicas),
            lease_seconds=settings.lease_seconds,
        )
        attempts = await streams.key_value(jetstream, streams.ATTEMPTS, replicas=replicas)
        defaults = replace(settings.defaults.search_settings(), ppm=tiers.has_ppm)
        runner = Runner(
            grpc_services(tiers),
            records,
            store,
            bus,
            max_interactive=settings.max_interactive,
            quotas=quotas,
        )
        queue = Queue(bus, attempts, settings, tenants, quotas)
        searcher = SearcherServicer(runner, records, store, bus, defaults, quotas)

        def register(server: grpc.aio.Server) -> None:
            searcher_pb2_grpc.add_SearcherServiceServicer_to_server(searcher, server)
            searcher_pb2_grpc.add_BatchServiceServicer_to_server(BatchServicer(batches), server)

        def listening(port: int) -> None:
            host = settings.grpc.address.rpartition(":")[0]
            runner.address = f"{host}:{port}"

        PLACES.labels("batch").set(settings.max_batch_searches if settings.queued else 0)
        PLACES.labels("interactive").set(settings.max_interactive)
        components = {
            "runner": runner.run,
            "nats": watch(bus, settings.nats),
            "queue gauges": QueueGauges(jetstream, tenants).run,
            "grpc": grpc_server(
                settings.grpc,
                register,
                service_names=["rstar.v1.SearcherService", "rstar.v1.BatchService"],
                on_listening=listening,
            ),
            "metrics": metrics_server(settings.telemetry),
        }
        if settings.queued:
            work = Work(batches, records, runner, defaults)
            components["work"] = queue.taker(work).run
        if settings.intake:
            for tenant in tenants:
                intake = Intake(
                    batches, store, defaults, tenants, tenant=tenant, admit=quotas.admit
                )
                components[f"intake {tenant.label}"] = queue.intake(intake, tenant).run
        await run_service(components, drain_seconds=settings.grpc.drain_seconds + 5)


if __name__ == "__main__":
    main()

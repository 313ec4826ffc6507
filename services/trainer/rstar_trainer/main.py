"""Entry point: read settings, build, run. The only file that knows everyone."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rstar_common.config import ServiceSettings, load_settings
from rstar_common.errors import InvalidInput
from rstar_common.lifecycle import run_main, run_service
from rstar_common.telemetry import metrics_server, setup_logging
from rstar_trainer.job import STATE_SECONDS

logger = logging.getLogger(__name__)

_EPILOG = """\
Settings come from RSTAR_TRAINER_* variables (nested ones with __) and from the TOML file
named by RSTAR_CONFIG. Example:

  RSTAR_TRAINER_GRPC__ADDRESS=127.0.0.1:7005 \\
  RSTAR_TRAINER_NATS__SERVERS='["nats://127.0.0.1:4222"]' \\
  RSTAR_TRAINER_OBJECT_STORE__ENDPOINT=http://127.0.0.1:9000 rstar-trainer
"""


class TrainerSettings(ServiceSettings):
    """Settings of the trainer service. One trainer owns a NATS account's jobs."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_TRAINER_")

    searcher_address: str = ""
    """A searcher that answers for batches; runs of self-evolution need it."""

    policy_address: str = ""
    """A policy service, to see what it serves; runs need it."""

    ppm_address: str = ""
    """A PPM service, likewise; empty where there is none."""

    sandbox_address: str = ""
    """A sandbox that judges evaluation answers; runs need it."""

    channel: str = Field(default="", pattern="^[a-z0-9-]{0,32}$")
    """Candidates of runs are served to those alone that follow this channel (`policy_address` and
    `ppm_address` must be theirs); empty: to everybody, while they search and are measured."""

    work_dir: Path = Path("~/.cache/rstar-math/trainer")
    """Where jobs keep trees and saved state; must outlive the process."""

    seed_models: Path | None = None
    """Checkpoints (`policy/`, `ppm/`) that are imported at start, and promoted over nothing
    or an older seed; unset: those that came with the project."""

    threads: int = Field(default=2, ge=1, le=256)
    """Of each training process on a CPU."""

    processes: int = Field(default=1, ge=1, le=64)
    """Of this machine that train one model together; where there are GPUs, at most one for each."""

    state_seconds: float = Field(default=STATE_SECONDS, gt=0, allow_inf_nan=False)
    """How often a training's state is saved: the most work a kill can cost."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models are trained; `auto` takes a GPU if there is one."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; weights are float32. `auto` is bfloat16 where the hardware has it."""


def main() -> None:
    """Run until SIGTERM."""
    argparse.ArgumentParser(
        prog="rstar-trainer",
        description="Turns finished searches into policy and PPM checkpoints.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = load_settings(TrainerSettings)
    setup_logging("trainer", settings.telemetry)
    run_main(serve(settings))


async def serve(
    settings: TrainerSettings, *, on_listening: Callable[[int], None] | None = None
) -> None:
    """Serve until a signal arrives; `on_listening` is told the port."""
    import grpc

    from rstar.v1 import evolution_pb2_grpc, trainer_pb2_grpc
    from rstar_common.artifacts import ObjectStore
    from rstar_common.bus import connected, watch
    from rstar_common.checkpoints import Pointers
    from rstar_common.nats_roles import role_of
    from rstar_common.rpc import grpc_server
    from rstar_common.streams import (
        JOB_RECORDS,
        POINTERS,
        RUN_RECORDS,
        ensure_streams,
        key_value,
    )
    from rstar_trainer.evolution.controller import Evolution
    from rstar_trainer.evolution.servicer import EvolutionServicer
    from rstar_trainer.evolution.store import RunStore
    from rstar_trainer.evolution.tiers import Addresses, open_tiers
    from rstar_trainer.job_store import JobStore
    from rstar_trainer.orders import WorkerLimits
    from rstar_trainer.promotion import Registry, import_proposer, import_seeds, open_channel
    from rstar_trainer.runner import JobRunner
    from rstar_trainer.servicer import TrainerServicer

    seeds = find_seed_models(settings)
    store = ObjectStore(settings.object_store)
    replicas = settings.nats.replicas
    async with connected(settings.nats, name="trainer") as client:
        jetstream = client.jetstream()
        await ensure_streams(jetstream, *role_of("trainer").makes, replicas=replicas)
        await store.ready()
        bucket = await key_value(jetstream, POINTERS, replicas=replicas)
        candidates = Pointers(bucket, channel=settings.channel) if settings.channel else None
        jobs = JobStore(jetstream, await key_value(jetstream, JOB_RECORDS, replicas=replicas))
        registry = Registry(store, Pointers(bucket), jetstream, candidates)
        await jobs.load()
        if seeds is not None:
            await import_seeds(registry, seeds)
        await import_proposer(registry)
        await open_channel(registry)
        runner = JobRunner(
            jobs,
            registry,
            work_dir=settings.work_dir.expanduser(),
            limits=WorkerLimits(
                threads=settings.threads,
                processes=settings.processes,
                state_seconds=settings.state_seconds,
                device=settings.device,
                precision=settings.precision,
            ),
        )
        runs = RunStore(jetstream, await key_value(jetstream, RUN_RECORDS, replicas=replicas))
        await runs.load()
        addresses = Addresses(
            searcher=settings.searcher_address,
            policy=settings.policy_address,
            ppm=settings.ppm_address,
            sandbox=settings.sandbox_address,
        )
        evolution = Evolution(
            runs,
            registry,
            jobs,
            lambda: open_tiers(addresses, settings.peers, store, jetstream),
            runner.cancel,
        )

        archives = settings.work_dir.expanduser() / "archives"
        shutil.rmtree(archives, ignore_errors=True)  # of a trainer that was killed

        def add_servicers(server: grpc.aio.Server) -> None:
            trainer_pb2_grpc.add_TrainerServiceServicer_to_server(
                TrainerServicer(jobs, runner, registry), server
            )
            evolution_pb2_grpc.add_EvolutionServiceServicer_to_server(
                EvolutionServicer(runs, evolution, store, scratch=archives), server
            )

        components = {
            "jobs": runner.run,
            "runs": evolution.run,
            "nats": watch(client, settings.nats),
            "grpc": grpc_server(
                settings.grpc,
                add_servicers,
                service_names=["rstar.v1.TrainerService", "rstar.v1.EvolutionService"],
                on_listening=on_listening,
            ),
            "metrics": metrics_server(settings.telemetry),
        }
        await run_service(components, drain_seconds=settings.grpc.drain_seconds + 5)


def find_seed_models(settings: TrainerSettings) -> Path | None:
    """The directory of shipped checkpoints: the named one, the checkout's, the wheel's, or none.

    Raises:
        InvalidInput: the named one does not exist.
    """
    if settings.seed_models is not None:
        if not settings.seed_models.is_dir():
            raise InvalidInput(f"no directory {settings.seed_models}", field="seed_models")
        return settings.seed_models
    checkout = Path(__file__).resolve().parents[3] / "models"
    installed = Path(sys.prefix) / "share" / "rstar-math" / "models"
    for directory in (checkout, installed):
        if directory.is_dir():
            return directory
    return None


if __name__ == "__main__":
    main()

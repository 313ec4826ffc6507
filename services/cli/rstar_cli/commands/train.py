"""`rstar train policy|ppm`, `jobs`, `cancel-job`: training runs of the trainer service."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from rstar.v1 import trainer_pb2

Batches = Annotated[
    list[str] | None, typer.Option("--batch", help="Learn from this batch's trees; repeatable.")
]
JobId = Annotated[
    str, typer.Option("--job", help="Id of the job; submitting it twice is harmless.")
]
Promote = Annotated[bool, typer.Option("--promote", help="Serve the result when it is done.")]
LearningRate = Annotated[float, typer.Option(min=0, help="0: the service's default.")]
Epochs = Annotated[float, typer.Option(min=0, help="0: the service's default.")]
MaxSteps = Annotated[int, typer.Option(min=0, help="Wins over --epochs.")]
BatchTokens = Annotated[int, typer.Option(min=0, help="0: the service's default.")]
TrainSeed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the run.")]
Untrained = Annotated[
    bool, typer.Option("--untrained", help="Publish the initial weights: a random baseline.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Do not watch the job.")]


def app() -> typer.Typer:
    """The `train` group."""
    group = typer.Typer(help="Train a model from finished searches.", no_args_is_help=True)
    group.command("policy")(train_policy)
    group.command("ppm")(train_ppm)
    return group


def train_policy(
    batch: Batches = None,
    base: Annotated[
        str, typer.Option(help="Checkpoint version or hub name; empty: random weights.")
    ] = "",
    trajectories: Annotated[
        int, typer.Option(min=0, help="Right trajectories kept a problem; 0: the default.")
    ] = 0,
    agreement_filter: Annotated[
        bool, typer.Option("--agreement-filter", help="Prefer programs that agree across problems.")
    ] = False,
    prompt_format: Annotated[str, typer.Option(help="Empty: the default.")] = "",
    learning_rate: LearningRate = 0.0,
    epochs: Epochs = 0.0,
    max_steps: MaxSteps = 0,
    batch_tokens: BatchTokens = 0,
    seed: TrainSeed = 0,
    untrained: Untrained = False,
    job: JobId = "",
    promote: Promote = False,
    detach: Detach = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Fine-tune a policy on the right trajectories of batches.

    Example: rstar train policy --batch round-1 --promote
    """
    from rstar.v1 import trainer_pb2
    from rstar_cli.batch import new_batch_id
    from rstar_cli.output import run

    request = trainer_pb2.SubmitJobRequest(
        job_id=job or new_batch_id("train-policy"),
        promote=promote,
        train_policy=trainer_pb2.TrainPolicyJob(
            batch_ids=batch or [],
            base=base,
            trajectories_per_problem=trajectories,
            agreement_filter=agreement_filter,
            prompt_format=prompt_format,
            training=trainer_pb2.TrainingSettings(
                learning_rate=learning_rate,
                epochs=epochs,
                max_steps=max_steps,
                batch_tokens=batch_tokens,
                seed=seed,
                untrained=untrained,
            ),
        ),
    )
    run(_train(home, request, detach=detach, json=json))


def train_ppm(
    batch: Batches = None,
    policy_version: Annotated[
        str, typer.Option(help="Policy the weights start from; empty: the promoted one.")
    ] = "",
    min_margin: Annotated[
        float, typer.Option(min=0, help="Least difference of Q in a pair; 0: the default.")
    ] = 0.0,
    steps_per_side: Annotated[
        int, typer.Option(min=0, help="Steps kept a prefix and side; 0: the default.")
    ] = 0,
    learning_rate: LearningRate = 0.0,
    epochs: Epochs = 0.0,
    max_steps: MaxSteps = 0,
    batch_tokens: BatchTokens = 0,
    seed: TrainSeed = 0,
    untrained: Untrained = False,
    job: JobId = "",
    promote: Promote = False,
    detach: Detach = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Train a process preference model on pairs of steps from batches.

    Example: rstar train ppm --batch round-2 --promote
    """
    from rstar.v1 import trainer_pb2
    from rstar_cli.batch import new_batch_id
    from rstar_cli.output import run

    request = trainer_pb2.SubmitJobRequest(
        job_id=job or new_batch_id("train-ppm"),
        promote=promote,
        train_ppm=trainer_pb2.TrainPpmJob(
            batch_ids=batch or [],
            policy_version=policy_version,
            min_margin=min_margin,
            steps_per_side=steps_per_side,
            training=trainer_pb2.TrainingSettings(
                learning_rate=learning_rate,
                epochs=epochs,
                max_steps=max_steps,
                batch_tokens=batch_tokens,
                seed=seed,
                untrained=untrained,
            ),
        ),
    )
    run(_train(home, request, detach=detach, json=json))


async def _train(
    home: Path | None, request: trainer_pb2.SubmitJobRequest, *, detach: bool, json: bool
) -> None:
    from rstar.v1 import trainer_pb2, trainer_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_cli.output import as_json, console, emit_json
    from rstar_cli.views.training import JobProgress, job_outcome
    from rstar_common.rpc import call, channel

    async with channel(endpoints(home).trainer) as wire:
        stub = trainer_pb2_grpc.TrainerServiceStub(wire)
        job = (await call(stub.SubmitJob(request, timeout=30))).job
        if detach:
            if json:
                emit_json(as_json(job))
            else:
                console().print(f"submitted {job.job_id}; see it with: rstar jobs")
            return
        try:
            with JobProgress(quiet=json) as progress:
                watch = trainer_pb2.WatchJobRequest(job_id=job.job_id)
                async for reply in stub.WatchJob(watch):
                    job = reply.job
                    progress.show(job)
                    if json:
                        emit_json(as_json(job))
        except asyncio.CancelledError:
            out = console(stderr=True)
            out.print(f"\nstill running; end it with: rstar cancel-job {job.job_id}")
            raise
    if not json:
        console().print(job_outcome(job))
    if job.state != trainer_pb2.JOB_STATE_SUCCEEDED:
        raise typer.Exit(1)


def jobs(json: Json = False, home: Home = None) -> None:
    """List the training jobs.

    Example: rstar jobs
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.training import jobs_table

    found = run(_jobs(home))
    if json:
        emit_json([as_json(job) for job in found])
    else:
        console().print(jobs_table(found))


async def _jobs(home: Path | None) -> list[trainer_pb2.Job]:
    from rstar.v1 import trainer_pb2, trainer_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call, channel

    async with channel(endpoints(home).trainer) as wire:
        stub = trainer_pb2_grpc.TrainerServiceStub(wire)
        request = trainer_pb2.ListJobsRequest(page_size=100)
        return list((await call(stub.ListJobs(request, timeout=30))).jobs)


def cancel_job(
    job_id: Annotated[str, typer.Argument(metavar="JOB")], json: Json = False, home: Home = None
) -> None:
    """End a training job.

    Example: rstar cancel-job train-ppm-20260101-120000-ab12
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.training import jobs_table

    job = run(_cancel_job(home, job_id))
    if json:
        emit_json(as_json(job))
    else:
        console().print(jobs_table([job]))


async def _cancel_job(home: Path | None, job_id: str) -> trainer_pb2.Job:
    from rstar.v1 import trainer_pb2, trainer_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call, channel

    async with channel(endpoints(home).trainer) as wire:
        stub = trainer_pb2_grpc.TrainerServiceStub(wire)
        request = trainer_pb2.CancelJobRequest(job_id=job_id)
        return (await call(stub.CancelJob(request, timeout=30))).job

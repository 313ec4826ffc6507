"""`rstar train policy|ppm`: submit a training job and watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.grouping import grouped
from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from rstar.v1 import trainer_pb2
    from rstar_common.artifacts import ObjectStore

Batches = Annotated[
    list[str] | None, typer.Option("--batch", help="Learn from this batch's trees; repeatable.")
]


class Optimizer(StrEnum):
    """How gradients become steps."""

    ADAMW = "adamw"
    MUON = "muon"

    def to_proto(self) -> trainer_pb2.Optimizer.ValueType:
        """As sent."""
        from rstar.v1 import trainer_pb2

        return trainer_pb2.Optimizer.Value(f"OPTIMIZER_{self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How either model is trained, and what becomes of it; 0 is the service's default."""

    learning_rate: Annotated[float, typer.Option(min=0, help="0: the service's default.")] = 0.0
    epochs: Annotated[float, typer.Option(min=0, help="0: the service's default.")] = 0.0
    max_steps: Annotated[int, typer.Option(min=0, help="Wins over --epochs.")] = 0
    batch_tokens: Annotated[int, typer.Option(min=0, help="0: the service's default.")] = 0
    max_length: Annotated[
        int, typer.Option(min=0, help="Tokens; longer examples are left out. 0: the default.")
    ] = 0
    optimizer: Annotated[Optimizer, typer.Option(help="muon: copied to each process.")] = (
        Optimizer.ADAMW
    )
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 0
    lora_rank: Annotated[
        int,
        typer.Option(min=0, help="Train adapters of this rank and merge them; 0: all weights."),
    ] = 0
    lora_alpha: Annotated[
        float, typer.Option(min=0, help="Weight of the adapters times their rank; 0: twice it.")
    ] = 0.0
    warmup_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of the steps: the learning rate rises. Default: 0.03."),
    ] = None
    weight_decay: Annotated[float | None, typer.Option(min=0, help="Default: 0.01.")] = None
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Publish the initial weights: a random baseline.")
    ] = False
    job: Annotated[str, typer.Option(help="Id of the job; submitting it twice is harmless.")] = ""
    promote: Annotated[
        bool, typer.Option("--promote", help="Serve the result when it is done.")
    ] = False
    detach: Annotated[bool, typer.Option("--detach", help="Do not watch the job.")] = False

    def to_proto(self) -> trainer_pb2.TrainingSettings:
        """As sent."""
        from rstar.v1 import trainer_pb2

        return trainer_pb2.TrainingSettings(
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            max_steps=self.max_steps,
            batch_tokens=self.batch_tokens,
            max_length=self.max_length,
            optimizer=self.optimizer.to_proto(),
            seed=self.seed,
            lora_rank=self.lora_rank,
            lora_alpha=self.lora_alpha,
            warmup_share=self.warmup_share,
            weight_decay=self.weight_decay,
            untrained=self.untrained,
        )


class Choice(StrEnum):
    """Which right trajectories a policy learns."""

    BEST_Q = "best-q"
    RANDOM = "random"

    def to_proto(self) -> trainer_pb2.SftChoice.ValueType:
        """As sent."""
        from rstar.v1 import trainer_pb2

        return trainer_pb2.SftChoice.Value(f"SFT_CHOICE_{self.name}")


class Objective(StrEnum):
    """What a PPM learns to tell apart."""

    PAIRWISE = "pairwise"
    Q_REGRESSION = "q-regression"
    OUTCOME = "outcome"

    def to_proto(self) -> trainer_pb2.PpmObjective.ValueType:
        """As sent."""
        from rstar.v1 import trainer_pb2

        return trainer_pb2.PpmObjective.Value(f"PPM_OBJECTIVE_{self.name}")


def app() -> typer.Typer:
    """The `train` group."""
    group = typer.Typer(
        help="Train a model from finished searches, or from files.", no_args_is_help=True
    )
    group.command("policy")(train_policy)
    group.command("ppm")(train_ppm)
    return group


@grouped
def train_policy(
    *,
    batch: Batches = None,
    examples: Annotated[
        list[Path] | None,
        typer.Option(
            help="Learn the examples of this file too (authors' SFT JSON); repeatable.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    base: Annotated[str, typer.Option(help="Checkpoint version; empty: random weights.")] = "",
    trajectories: Annotated[
        int, typer.Option(min=0, help="Right trajectories kept a problem; 0: the default.")
    ] = 0,
    choice: Annotated[
        Choice, typer.Option(help="Those the search valued most, or any right ones.")
    ] = Choice.BEST_Q,
    agreement_filter: Annotated[
        bool,
        typer.Option("--agreement-filter", help="Prefer programs that agree across problems."),
    ] = False,
    prompt_format: Annotated[str, typer.Option(help="Empty: the default.")] = "",
    training: TrainingOptions,
    json: Json = False,
    home: Home = None,
) -> None:
    """Fine-tune a policy on the right trajectories of batches, or on examples of a file.

    Example: rstar train policy --batch round-1 --promote
    """
    from rstar.v1 import trainer_pb2

    job = trainer_pb2.TrainPolicyJob(
        batch_ids=batch or [],
        base=base,
        trajectories_per_problem=trajectories,
        agreement_filter=agreement_filter,
        prompt_format=prompt_format,
        choice=choice.to_proto(),
        training=training.to_proto(),
    )
    request = trainer_pb2.SubmitJobRequest(train_policy=job)
    _submit(home, request, training, files=examples or [], json=json)


@grouped
def train_ppm(
    *,
    batch: Batches = None,
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            help="Learn the pairs of this file too (authors' PPM JSON); repeatable.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    policy_version: Annotated[
        str, typer.Option(help="Policy the weights start from; empty: the promoted one.")
    ] = "",
    min_margin: Annotated[
        float | None,
        typer.Option(min=0, help="Least difference of Q in a pair.", show_default="0.5"),
    ] = None,
    min_edit_distance: Annotated[
        int,
        typer.Option(min=0, help="Least characters that tell a pair apart; authors' code: 20."),
    ] = 0,
    raw_rewards: Annotated[
        bool,
        typer.Option("--raw-rewards", help="Compare before tanh, as the authors' code does."),
    ] = False,
    steps_per_side: Annotated[
        int, typer.Option(min=0, help="Steps kept a prefix and side; 0: the default.")
    ] = 0,
    variants: Annotated[
        int,
        typer.Option(min=0, help="Variants of each comparison; for models from random weights."),
    ] = 0,
    agreement_filter: Annotated[
        bool | None,
        typer.Option(
            "--agreement-filter/--no-agreement-filter",
            help="Prefer programs that agree across problems.",
            show_default="as its policy",
        ),
    ] = None,
    objective: Annotated[
        Objective, typer.Option(help="Pairs of steps, each step's Q, or whole trajectories.")
    ] = Objective.PAIRWISE,
    training: TrainingOptions,
    json: Json = False,
    home: Home = None,
) -> None:
    """Train a process preference model on pairs of steps from batches, or of a file.

    Example: rstar train ppm --batch round-2 --promote
    """
    from rstar.v1 import trainer_pb2

    job = trainer_pb2.TrainPpmJob(
        batch_ids=batch or [],
        policy_version=policy_version,
        min_margin=min_margin,
        min_edit_distance=min_edit_distance,
        raw_rewards=raw_rewards,
        steps_per_side=steps_per_side,
        variants=variants,
        agreement_filter=agreement_filter,
        objective=objective.to_proto(),
        training=training.to_proto(),
    )
    request = trainer_pb2.SubmitJobRequest(train_ppm=job)
    _submit(home, request, training, files=pairs or [], json=json)


def _submit(
    home: Path | None,
    request: trainer_pb2.SubmitJobRequest,
    options: TrainingOptions,
    *,
    files: Sequence[Path],
    json: bool,
) -> None:
    from rstar_cli.batch import new_batch_id
    from rstar_cli.output import run

    kind = str(request.WhichOneof("job")).replace("_", "-")
    request.job_id = options.job or new_batch_id(kind)
    request.promote = options.promote
    run(_train(home, request, files=files, detach=options.detach, json=json))


async def _upload(files: Sequence[Path], store: ObjectStore) -> list[str]:
    """Put files into the store; returns their digests."""
    import hashlib

    from rstar_common.artifacts import given_key

    digests = []
    for path in files:
        data = path.read_bytes()
        digests.append(hashlib.sha256(data).hexdigest())
        await store.put(given_key(digests[-1]), data)
    return digests


async def _train(
    home: Path | None,
    request: trainer_pb2.SubmitJobRequest,
    *,
    files: Sequence[Path],
    detach: bool,
    json: bool,
) -> None:
    from rstar.v1 import trainer_pb2, trainer_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_cli.output import as_json, console, emit_json
    from rstar_cli.views.training import JobProgress, job_outcome
    from rstar_common.artifacts import ObjectStore
    from rstar_common.rpc import call

    where = endpoints(home)
    if files:
        order = getattr(request, str(request.WhichOneof("job")))
        order.data_digests.extend(await _upload(files, ObjectStore(where.object_store)))
    async with where.dial("trainer") as wire:
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

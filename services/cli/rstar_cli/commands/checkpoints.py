"""`rstar checkpoints`, `promote`, `download-checkpoint`, `upload-checkpoint`: model versions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from rstar.v1 import trainer_pb2
    from rstar_common.checkpoints import Manifest
    from rstar_common.checkpoints import Model as CheckpointModel


class ModelName(StrEnum):
    """Which of the two models."""

    POLICY = "policy"
    PPM = "ppm"


Model = Annotated[ModelName, typer.Argument(help="policy or ppm.")]
Version = Annotated[str, typer.Argument(help="As `rstar checkpoints` lists it.")]


def checkpoints(
    model: Annotated[
        ModelName | None, typer.Argument(help="Of one model only.", show_default=False)
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List the checkpoints in the store, newest first.

    Example: rstar checkpoints policy
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.training import checkpoints_table

    found = run(_list(home, model.value if model else ""))
    if json:
        emit_json([as_json(checkpoint) for checkpoint in found])
    else:
        console().print(checkpoints_table(found))


async def _list(home: Path | None, model: str) -> list[trainer_pb2.Checkpoint]:
    from rstar.v1 import trainer_pb2, trainer_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call

    found: list[trainer_pb2.Checkpoint] = []
    page_token = ""
    async with endpoints(home).dial("trainer") as wire:
        stub = trainer_pb2_grpc.TrainerServiceStub(wire)
        while True:
            request = trainer_pb2.ListCheckpointsRequest(
                model=model, page_size=100, page_token=page_token
            )
            page = await call(stub.ListCheckpoints(request, timeout=30))
            found += page.checkpoints
            page_token = page.next_page_token
            if not page_token:
                return found


def promote(model: Model, version: Version, json: Json = False, home: Home = None) -> None:
    """Make a checkpoint the one that is served; an older one rolls back.

    Example: rstar promote policy policy-0123456789ab
    """
    from rstar_cli.output import as_json, console, emit_json, run

    reply = run(_promote(home, model.value, version))
    if json:
        emit_json(as_json(reply))
    else:
        instead = f" instead of {reply.previous}" if reply.previous else ""
        version = reply.checkpoint.version
        console().print(f"{version} is promoted{instead}; the services load it now")


async def _promote(
    home: Path | None, model: str, version: str
) -> trainer_pb2.PromoteCheckpointResponse:
    from rstar.v1 import trainer_pb2, trainer_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call

    request = trainer_pb2.PromoteCheckpointRequest(model=model, version=version)
    async with endpoints(home).dial("trainer") as wire:
        stub = trainer_pb2_grpc.TrainerServiceStub(wire)
        return await call(stub.PromoteCheckpoint(request, timeout=60))


def download_checkpoint(
    model: Model,
    output: Annotated[
        Path, typer.Option("-o", "--out", "--output", help="Directory to write into.")
    ],
    version: Annotated[
        str, typer.Argument(help="As `rstar checkpoints` lists it; empty: the promoted one.")
    ] = "",
    home: Home = None,
) -> None:
    """Write the files of a checkpoint, and its model card, into a new or empty directory.

    Example: rstar download-checkpoint policy -o models/policy
    """
    from rstar_cli.evolution import all_runs
    from rstar_cli.modelcard import write_card
    from rstar_cli.output import console, run
    from rstar_common.errors import InvalidInput

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InvalidInput("is not an empty directory", field=str(output))
    version = version or _promoted(run(_list(home, model.value)), model.value)
    runs = run(all_runs(home))
    output.mkdir(parents=True, exist_ok=True)
    count = run(_download(home, model.value, version, output))
    write_card(output, runs)
    console().print(f"wrote {count} files of {version} to {output}")


def upload_checkpoint(
    model: Model,
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", exists=True, file_okay=False, help="As transformers saves."),
    ],
    prompt_format: Annotated[
        str,
        typer.Option(
            help="mini or rstar; instruct for a policy that is shown two worked examples."
        ),
    ],
    version: Annotated[
        str, typer.Option(help="What recipes call it.", show_default="a hash of its files")
    ] = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Publish a model that was made elsewhere: a base, an instruct model, one of several nodes.

    Writes into the object store: the local stack's, which must be up, or the one that
    RSTAR_CLI_OBJECT_STORE__* names, with credentials that may write there. Nothing is promoted.

    Example: rstar upload-checkpoint policy Qwen2.5-Math-7B/ --prompt-format rstar --version base
    """
    from dataclasses import asdict

    from rstar_cli.output import console, emit_json, run

    manifest = run(_upload(home, model.value, directory, prompt_format, version))
    if json:
        emit_json(asdict(manifest))
    else:
        console().print(f"{manifest.version}: {len(manifest.files)} files are in the store")


async def _upload(
    home: Path | None, model: CheckpointModel, directory: Path, prompt_format: str, version: str
) -> Manifest:
    from rstar_cli.connection import endpoints
    from rstar_cli.upload import upload_checkpoint
    from rstar_common.artifacts import ObjectStore

    store = ObjectStore(endpoints(home).object_store)
    await store.ready()
    return await upload_checkpoint(
        store, directory, model=model, prompt_format=prompt_format, version=version
    )


def _promoted(found: list[trainer_pb2.Checkpoint], model: str) -> str:
    from rstar_common.errors import NotFound

    for checkpoint in found:
        if checkpoint.promoted:
            return checkpoint.version
    raise NotFound(f"no {model} checkpoint is promoted")


async def _download(home: Path | None, model: str, version: str, output: Path) -> int:
    from rstar.v1 import trainer_pb2, trainer_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.errors import InvalidInput

    request = trainer_pb2.DownloadCheckpointRequest(model=model, version=version)
    files: dict[str, BinaryIO] = {}
    try:
        async with endpoints(home).dial("trainer") as wire:
            stub = trainer_pb2_grpc.TrainerServiceStub(wire)
            async for part in stub.DownloadCheckpoint(request):
                # The name comes from the network: it must not lead out of the directory.
                if not part.file or Path(part.file).name != part.file:
                    raise InvalidInput(f"not a file name: {part.file!r}", field="file")
                if part.file not in files:
                    files[part.file] = (output / part.file).open("wb")
                files[part.file].write(part.chunk)
    finally:
        for file in files.values():
            file.close()
    return len(files)

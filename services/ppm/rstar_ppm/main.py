"""Entry point: read settings, build, run. The only file that knows everyone."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rstar_common.config import ServiceSettings, load_settings
from rstar_common.lifecycle import Component, run_main, run_service
from rstar_common.telemetry import metrics_server, setup_logging

if TYPE_CHECKING:
    from rstar_ppm.versions import Loader, Versions

logger = logging.getLogger(__name__)

_EPILOG = """\
Settings come from RSTAR_PPM_* variables (nested ones with __) and from the TOML file
named by RSTAR_CONFIG. Example:

  RSTAR_PPM_GRPC__ADDRESS=127.0.0.1:7003 RSTAR_PPM_NATS__SERVERS='["nats://127.0.0.1:4222"]' \\
  RSTAR_PPM_OBJECT_STORE__ENDPOINT=http://127.0.0.1:9000 rstar-ppm

  RSTAR_PPM_MODEL=./models/ppm rstar-ppm        serve one directory; needs no NATS, no store
"""


class PpmSettings(ServiceSettings):
    """Settings of the PPM service."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_PPM_")

    model: Path | None = None
    """A checkpoint directory to serve for good; unset: follow the promoted one."""

    channel: str = ""
    """Follow the pointer of this channel, not the one for everybody: a tier for candidates."""

    cache_dir: Path = Path("~/.cache/rstar-math/ppm")
    """Where fetched checkpoints are kept, those used last."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; `auto` takes a GPU if there is one."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision; `auto` is float32 on a CPU and bfloat16 on a GPU."""

    threads: int = Field(default=1, ge=1, le=256)
    """Threads of torch on a CPU."""

    max_inflight: int = Field(default=256, ge=1)
    """Calls admitted at once; the next one is refused."""

    max_wait_seconds: float = Field(default=5.0, gt=0)
    """A call that would wait longer, at the pace of the last ones, is refused with a hint: a slow
    machine admits fewer."""

    max_batch_tokens: int = Field(default=0, ge=0)
    """Tokens of one forward pass, padding included; one call may exceed it alone. 0: 1,024 on a
    CPU, where a larger pass is no faster and everyone in it waits for all of it; 8,192 on a GPU."""

    cached_tokens: int = Field(default=32768, ge=0)
    """Tokens whose keys and values are kept, for each version: 8 KB each for the mini models."""

    grace_seconds: float = Field(default=600.0, ge=0)
    """How long a replaced version still answers callers that name it."""

    timeout_seconds: float = Field(default=60.0, gt=0)
    """Longest one call may take, whatever the caller allows."""


def main() -> None:
    """Run until SIGTERM."""
    argparse.ArgumentParser(
        prog="rstar-ppm",
        description="Scores partial solutions with the process preference model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = load_settings(PpmSettings)
    setup_logging("ppm", settings.telemetry)
    run_main(serve(settings))


async def serve(
    settings: PpmSettings, *, on_listening: Callable[[int], None] | None = None
) -> None:
    """Serve until a signal arrives; `on_listening` is told the port."""
    # Torch is imported here and not above: `--help` and bad settings answer at once.
    import torch

    from rstar.v1 import ppm_pb2_grpc
    from rstar_common.rpc import grpc_server
    from rstar_ppm.batching import Batcher
    from rstar_ppm.servicer import PpmServicer
    from rstar_ppm.versions import Versions

    versions = Versions(grace_seconds=settings.grace_seconds)
    batcher = Batcher(
        max_batch_tokens=settings.max_batch_tokens or (8_192 if on_gpu(settings) else 1_024),
        on_thread_start=lambda: torch.set_num_threads(settings.threads),
    )
    servicer = PpmServicer(
        versions,
        batcher,
        max_inflight=settings.max_inflight,
        max_wait_seconds=settings.max_wait_seconds,
        timeout_seconds=settings.timeout_seconds,
    )
    async with AsyncExitStack() as stack:
        components: dict[str, Component] = {
            "batcher": batcher.run,
            "grpc": grpc_server(
                settings.grpc,
                lambda server: ppm_pb2_grpc.add_PpmServiceServicer_to_server(servicer, server),
                service_names=["rstar.v1.PpmService"],
                on_listening=on_listening,
            ),
            "metrics": metrics_server(settings.telemetry),
        }
        load = loader(settings)
        if settings.model is None:
            components |= await _follower(settings, versions, load, stack)
        else:
            _pin(settings.model, versions, load)
        await run_service(components, drain_seconds=settings.grpc.drain_seconds + 5)


def on_gpu(settings: PpmSettings) -> bool:
    """Whether the model runs on a GPU."""
    import torch

    return settings.device != "cpu" and torch.cuda.is_available()


def loader(settings: PpmSettings) -> Loader:
    """How a checkpoint directory becomes a served version."""
    import torch
    from tokenizers import Tokenizer

    from rstar_common.checkpoints import Manifest
    from rstar_common.errors import InvalidInput
    from rstar_common.formats import FORMATS, Encoder
    from rstar_ppm.model import RewardModel
    from rstar_ppm.versions import ServedVersion

    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("torch sees no GPU", field="device")
    gpu = on_gpu(settings)
    device = torch.device("cuda" if gpu else "cpu")
    name = ("bfloat16" if gpu else "float32") if settings.dtype == "auto" else settings.dtype
    dtype: torch.dtype = getattr(torch, name)

    def load(directory: Path, manifest: Manifest) -> ServedVersion:
        if manifest.model != "ppm":
            raise InvalidInput(f"{directory} is a {manifest.model} checkpoint", field="model")
        if manifest.prompt_format not in FORMATS:
            raise InvalidInput(f"unknown prompt format {manifest.prompt_format}", field="model")
        try:
            tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        except Exception as error:  # the library raises nothing narrower
            raise InvalidInput(f"{directory}: tokenizer.json: {error}", field="model") from error
        return ServedVersion(
            version=manifest.version,
            encoder=Encoder(tokenizer, FORMATS[manifest.prompt_format]),
            model=RewardModel(
                directory, device=device, dtype=dtype, cached_tokens=settings.cached_tokens
            ),
        )

    return load


def _pin(directory: Path, versions: Versions, load: Loader) -> None:
    from rstar_ppm.versions import read_pinned

    versions.promote(load(directory, read_pinned(directory)))


async def _follower(
    settings: PpmSettings, versions: Versions, load: Loader, stack: AsyncExitStack
) -> dict[str, Component]:
    from rstar_common.artifacts import ObjectStore
    from rstar_common.bus import connected, watch
    from rstar_common.checkpoints import Pointers
    from rstar_common.streams import POINTERS, key_value
    from rstar_ppm.versions import PointerFollower

    store = ObjectStore(settings.object_store)
    client = await stack.enter_async_context(connected(settings.nats, name="ppm"))
    jetstream = client.jetstream()
    await store.ready()
    bucket = await key_value(jetstream, POINTERS, replicas=settings.nats.replicas)
    pointers = Pointers(bucket, channel=settings.channel)
    follower = PointerFollower(
        versions, pointers, store, load, cache=settings.cache_dir.expanduser()
    )
    return {"pointer": follower.run, "nats": watch(client, settings.nats)}


if __name__ == "__main__":
    main()

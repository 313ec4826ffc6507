"""The command line and environment of an SGLang server, from settings and the machine.

A GPU and a CPU want different things; everything that differs is in this module, so the
rest of the service cannot tell them apart.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rstar_common.errors import InvalidInput
from rstar_policy.loaded import Checkpoint
from rstar_policy.settings import SglangSettings

CPU_RUNNING_REQUESTS = 32
"""More gain nothing on one thread, and each costs memory for its sampling."""

CPU_TOTAL_TOKENS = 16_384
"""134 MB of cache for a model of 4 layers and width 256: 32 sequences and 60 cached prefixes."""

CPU_START_SECONDS = 300.0
"""Ten seconds on an idle machine; more than a minute where twenty processes want two cores."""

GPU_START_SECONDS = 1_800.0
"""Loading 7B from a cold network disk and capturing CUDA graphs."""

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""A driver that is loaded shows one of these: NVIDIA, AMD, and NVIDIA under WSL."""

CPU_ENVIRONMENT = {
    "SGLANG_USE_CPU_ENGINE": "1",
    # Compiling costs a minute at start and gains nothing on models this small.
    "TORCHDYNAMO_DISABLE": "1",
    # Otherwise the stand-in for torchvision would be asked for real operators.
    "TRANSFORMERS_VERBOSITY": "error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start one server; its port and key apart."""

    arguments: Sequence[str]
    """After `python`."""

    environment: Mapping[str, str]
    """Added to our own."""

    python: str
    start_seconds: float


def has_gpu() -> bool:
    """Whether this machine has a GPU driver loaded."""
    return any(Path(device).exists() for device in GPU_DEVICES)


def launch_of(settings: SglangSettings, checkpoint: Checkpoint) -> Launch:
    """How to serve `checkpoint`.

    Raises:
        InvalidInput: naming the setting at fault.
    """
    on_gpu = has_gpu() if settings.device == "auto" else settings.device == "cuda"
    dtype = settings.dtype
    if dtype == "auto":
        dtype = "bfloat16" if on_gpu else "float32"
    options: dict[str, str | int | float | bool] = {
        "model-path": str(checkpoint.directory),
        "weight-version": checkpoint.version,
        "host": "127.0.0.1",
        "device": "cuda" if on_gpu else "cpu",
        "dtype": dtype,
        "context-length": settings.context_length or checkpoint.context_tokens,
        "tp-size": settings.tensor_parallel_size,
        "random-seed": 0,
        # Constrained decoding is not used, and its grammar compiler takes a second to load.
        "grammar-backend": "none",
        "enable-metrics": True,
        "skip-server-warmup": True,
        # Token ids in, token ids out, unless the format stops at texts.
        "skip-tokenizer-init": not checkpoint.prompter.stop_texts,
        "enable-deterministic-inference": settings.deterministic,
        # At "info" it writes a line for each batch: gigabytes a day.
        "log-level": "warning",
    }
    environment = {
        "SGLANG_RETURN_ORIGINAL_LOGPROB": "1",
        # Less than our own patience, so that it is the engine that says it hangs.
        "SGLANG_HEALTH_CHECK_TIMEOUT": "45",
    }
    max_running, max_tokens = settings.max_running_requests, settings.max_total_tokens
    if on_gpu:
        options["skip-server-warmup"] = False
        if settings.mem_fraction_static:
            options["mem-fraction-static"] = settings.mem_fraction_static
    else:
        options["attention-backend"] = "torch_native"
        # There is no device to overlap the scheduling with.
        options["disable-overlap-schedule"] = True
        # Without it the idle scheduler keeps one core fully busy.
        options["sleep-on-idle"] = True
        max_running = max_running or CPU_RUNNING_REQUESTS
        max_tokens = max_tokens or CPU_TOTAL_TOKENS
        environment |= CPU_ENVIRONMENT
        environment["OMP_NUM_THREADS"] = str(settings.threads)
        environment["PYTHONPATH"] = str(_cpu_path(settings))
    if max_running:
        options["max-running-requests"] = max_running
    if max_tokens:
        options["max-total-tokens"] = max_tokens
    return Launch(
        arguments=["-m", "sglang.launch_server", *_flags(options), *settings.extra_args],
        environment=environment,
        python=settings.python or sys.executable,
        start_seconds=settings.start_seconds
        or (GPU_START_SECONDS if on_gpu else CPU_START_SECONDS),
    )


def _flags(options: Mapping[str, str | int | float | bool]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        if value is True:
            flags.append(f"--{name}")
        elif value is not False:
            flags += [f"--{name}", str(value)]
    return flags


def _cpu_path(settings: SglangSettings) -> Path:
    path = settings.cpu_path or Path(__file__).parents[3] / "infra" / "sglang" / "cpu"
    if not (path / "sgl_kernel").is_dir():
        raise InvalidInput(
            f"no CPU stand-ins in {path}; without a GPU SGLang needs infra/sglang/cpu",
            field="sglang.cpu_path",
        )
    return path.resolve()

"""Settings of the policy service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from rstar_common.config import Section, ServiceSettings
from rstar_policy.wire import MAX_CANDIDATES


class SglangSettings(Section):
    """The SGLang server that this service starts. 0 and empty mean: a default that fits."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: float32 on a CPU, bfloat16 on a GPU."""

    context_length: int = Field(default=0, ge=0)
    """Longest prompt and step together; 0 is the checkpoint's own."""

    max_running_requests: int = Field(default=0, ge=0)
    """Sequences in one batch; 0: 32 on a CPU, the engine's choice on a GPU."""

    max_total_tokens: int = Field(default=0, ge=0)
    """Tokens the prefix cache holds; 0: 16,384 on a CPU, what fits on a GPU."""

    mem_fraction_static: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of GPU memory for weights and cache; 0 is the engine's choice."""

    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs one copy of the model is spread over."""

    deterministic: bool = True
    """Give each candidate its own seed and make a sample independent of its neighbours."""

    threads: int = Field(default=1, ge=1)
    """CPU threads of one engine; two on busy cores are slower than one by far."""

    extra_args: list[str] = Field(default_factory=list)
    """More arguments of `sglang.launch_server`, as they are."""

    python: str = ""
    """Interpreter that has SGLang; empty is this one."""

    cpu_path: Path | None = None
    """Folder of the CPU stand-ins; empty is `infra/sglang/cpu` of the checkout."""

    start_seconds: float = Field(default=0.0, ge=0.0)
    """How long a start may take; 0: 300 on a CPU, 1,800 on a GPU."""

    log_file: Path | None = None
    """Where the engine's own output goes; empty: `sglang.log` in `cache_dir`. The run before
    is kept beside it as `….1`."""


class PolicySettings(ServiceSettings):
    """Settings of the policy service: `RSTAR_POLICY_…`."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_POLICY_")

    engine: Literal["sglang", "bootstrap"] = "sglang"
    """What generates: a model on SGLang, or the random-program proposer."""

    engine_url: str = ""
    """An SGLang server, or a router, that runs already; empty starts one."""

    engine_workers: list[str] = Field(default_factory=list)
    """The SGLang servers behind a router at `engine_url`: weights and aborts go to each, which
    a router does not pass on."""

    engine_api_key: SecretStr = SecretStr("")
    """Key of the server at `engine_url`; a server that is started gets a random one."""

    model: str = ""
    """A model directory or a hub name to pin; empty follows the promoted checkpoint."""

    channel: str = ""
    """Follow the pointer of this channel, not the one for everybody: a tier for candidates."""

    prompt_format: str = ""
    """`mini`, `rstar` or `instruct`; empty is what the checkpoint says, else `mini`."""

    sglang: SglangSettings = SglangSettings()
    """The server that is started where `engine_url` is empty."""

    max_inflight: int = Field(default=256, ge=MAX_CANDIDATES)
    """Sequences admitted at once; about twice what the engine batches."""

    timeout_seconds: float = Field(default=120.0, gt=0)
    """Longest one proposal may take, whatever the caller allows."""

    max_step_tokens: int = Field(default=2048, ge=1)
    """Longest step in tokens, whatever the caller asks for."""

    swap_drain_seconds: float = Field(default=10.0, ge=0)
    """A swap waits this long for running samples; what is left then is sampled anew after it."""

    cache_dir: Path = Path(".rstar/policy")
    """Where checkpoints are kept on this machine, those used last; this service's alone."""

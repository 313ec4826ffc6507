"""SGLang's reward mode on the same checkpoint, for comparison with our own backend.

`--is-embedding` serves a `LlamaForSequenceClassification`; `/classify` answers with the head's
raw value, of which a score is tanh. Without a GPU it needs the stand-ins of `infra/sglang/cpu`.
"""

from __future__ import annotations

import asyncio
import math
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from rstar_common.errors import Unavailable
from rstar_common.processes import HOST, POLL_SECONDS, free_ports, process

START_SECONDS = 240.0
STAND_INS = Path(__file__).parents[3] / "infra" / "sglang" / "cpu"

CPU_ENVIRONMENT = {
    "SGLANG_USE_CPU_ENGINE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(STAND_INS),
}


class RewardServer:
    """A running SGLang server in reward mode."""

    def __init__(self, http: httpx.AsyncClient, process_: Process) -> None:
        self._http = http
        self.pid = process_.pid

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        """The scores of whole sequences, one call."""
        response = await self._http.post(
            "/classify", json={"input_ids": [list(ids) for ids in sequences]}
        )
        if not response.is_success:
            raise Unavailable(f"sglang: {response.status_code}: {response.text[:500]}")
        return [math.tanh(output["embedding"][0]) for output in response.json()]

    async def tokens(self) -> tuple[float, float]:
        """Prompt tokens until now, and those of them found in the prefix cache.

        By the server's own metrics: answers in reward mode do not tell.
        """
        found = {"sglang:prompt_tokens_total": 0.0, "sglang:cached_tokens_total": 0.0}
        for line in (await self._http.get("/metrics")).text.splitlines():
            name = line.partition("{")[0]
            if name in found:
                found[name] += float(line.rpartition(" ")[2])
        prompt, cached = found.values()
        return prompt, cached


@asynccontextmanager
async def reward_server(
    model: Path, directory: Path, *, extra: Sequence[str] = ()
) -> AsyncGenerator[RewardServer]:
    """Start SGLang on a CPU in reward mode.

    Raises:
        Unavailable: it did not come up; the message ends with its last lines.
    """
    [port] = free_ports(1)
    log = directory / "sglang-reward.log"
    argv = [
        *(sys.executable, "-m", "sglang.launch_server", "--model-path", str(model)),
        *("--is-embedding", "--device", "cpu", "--attention-backend", "torch_native"),
        *("--dtype", "float32", "--max-total-tokens", "32768", "--max-running-requests", "64"),
        *("--disable-overlap-schedule", "--sleep-on-idle", "--skip-server-warmup"),
        *("--skip-tokenizer-init", "--grammar-backend", "none", "--log-level", "warning"),
        *("--enable-metrics", "--host", HOST, "--port", str(port), *extra),
    ]
    async with (
        process(argv, log=log, environment=CPU_ENVIRONMENT) as child,
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=120.0) as http,
    ):
        try:
            async with asyncio.timeout(START_SECONDS):
                await _ready(http, child)
        except (TimeoutError, Unavailable) as error:
            said = await asyncio.to_thread(log.read_text, errors="replace")
            raise Unavailable(f"sglang did not start: {error}\n{said[-3000:]}") from error
        yield RewardServer(http, child)


async def _ready(http: httpx.AsyncClient, child: Process) -> None:
    while True:
        if child.returncode is not None:
            raise Unavailable(f"exited with {child.returncode}")
        try:
            if (await http.get("/model_info")).is_success:
                return
        except httpx.HTTPError:
            pass  # not there yet
        await asyncio.sleep(POLL_SECONDS)

"""Runs the worker process and reads what it tells. Torch never enters the service.

The worker is started in the job's directory, told everything by `order.json`, and stopped
by SIGTERM (it saves its state) and, if it does not listen, SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from rstar_trainer.job import WorkerEvent

logger = logging.getLogger(__name__)

STOP_SECONDS = 10.0
"""How long a worker may take to save its state."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")
_INHERITED_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_")


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """How a worker ended: its last event if it was a final one, and its exit status."""

    event: WorkerEvent | None
    status: int


async def run_worker(
    directory: Path,
    *,
    threads: int,
    processes: int,
    on_progress: Callable[[WorkerEvent], None],
) -> WorkerEnd:
    """Run the worker of `directory` to its end; when cancelled, stop it first."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", worker_module(processes), str(directory)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=_environment(threads),
        limit=2**20,
    )
    last: WorkerEvent | None = None
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                event = WorkerEvent.model_validate_json(line)
            except ValidationError:
                logger.warning("the worker wrote: %s", line.decode(errors="replace").rstrip())
                continue
            if event.event == "progress":
                on_progress(event)
            else:
                last = event
        return WorkerEnd(last, await process.wait())
    finally:
        await _stop(process)


def worker_module(processes: int) -> str:
    """The module that carries an order out."""
    return "rstar_trainer.worker" if processes == 1 else "rstar_trainer.launch"


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _environment(threads: int) -> dict[str, str]:
    """No credentials, no settings of the service: only what Python and torch need."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return kept | {
        "OMP_NUM_THREADS": str(threads),
        # Spinning threads on cores that others use cost more than they save.
        "OMP_WAIT_POLICY": "PASSIVE",
        # 3 MB each, and they are never looked up again after a few hundred others.
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }

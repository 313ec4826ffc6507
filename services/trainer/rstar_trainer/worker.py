"""The process that trains: `python -m rstar_trainer.worker DIRECTORY`.

Reads `order.json`, `trees/` and `given/` of its directory, writes `checkpoint/` there, and tells
what it does as JSON lines on stdout. It has no network and no credentials: the service
fetches what it reads and publishes what it writes. It dies with the service, and goes on
from its saved state when it is started again.

Several of these train one model (`launch.py`). On several nodes torchrun starts them, DIRECTORY is
on a file system that they share, and its rendezvous wants a network of their own:

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST
        -m rstar_trainer.worker DIRECTORY
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from rstar_common.config import TelemetrySettings
from rstar_common.errors import Cancelled, InvalidInput, RstarError
from rstar_common.telemetry import setup_logging
from rstar_trainer.die_with_parent import die_with_parent
from rstar_trainer.job import ORDER_FILE, JobFailure, WorkerEvent, WorkOrder
from rstar_trainer.policy_job import make_policy
from rstar_trainer.ppm_job import make_ppm
from rstar_trainer.ranks import joined
from rstar_trainer.spec import PolicySpec
from rstar_trainer.work import Work

EXIT_STOPPED = 75
"""`EX_TEMPFAIL`: asked to stop; the state is saved."""

EXIT_REFUSED = 65
"""`EX_DATAERR`: a deliberate error, told on stdout."""


def main(directory: Path) -> int:
    """Carry out the order in `directory`; returns the exit status."""
    die_with_parent()
    setup_logging("trainer-worker", TelemetrySettings())
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    order = WorkOrder.model_validate_json((directory / ORDER_FILE).read_bytes())
    with joined(device=order.device) as ranks:
        return _carry_out(Work(directory, order, ranks))


def _carry_out(work: Work) -> int:
    order = work.order
    signal.signal(signal.SIGTERM, lambda *_: setattr(work, "stopping", True))
    torch.set_num_threads(order.threads)
    if work.device.type == "cpu":
        torch.use_deterministic_algorithms(True)
    work.enter("reading trees", 0.01)
    try:
        if isinstance(order.spec, PolicySpec):
            make_policy(work, order.spec)
        else:
            make_ppm(work, order.spec)
    except Cancelled:
        return EXIT_STOPPED
    except RstarError as error:
        named = error.field if isinstance(error, InvalidInput) else ""
        failure = JobFailure(code=type(error).__name__, message=str(error), field=named)
        work.emit(WorkerEvent(event="failed", failure=failure))
        return EXIT_REFUSED
    work.emit(WorkerEvent(event="done", progress=1.0, stage="done", metrics=work.metrics))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

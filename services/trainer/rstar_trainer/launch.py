"""Starts the workers of one job: `python -m rstar_trainer.launch DIRECTORY`.

What torchrun does on one machine, but for its rendezvous, which listens on every interface and
unpickles what it is sent: these workers meet in a file, and talk over loopback.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

from rstar_trainer.die_with_parent import die_with_parent
from rstar_trainer.job import ORDER_FILE, WorkOrder
from rstar_trainer.ranks import RENDEZVOUS
from rstar_trainer.worker import EXIT_REFUSED, EXIT_STOPPED

TOGETHER = (os.EX_OK, EXIT_REFUSED, EXIT_STOPPED)
"""Ends that all workers come to, each in its time; after any other the rest would wait for ever."""


def main(directory: Path) -> int:
    """Start the workers and wait for all of them; returns the first exit status that is not 0."""
    die_with_parent()
    order = WorkOrder.model_validate_json((directory / ORDER_FILE).read_bytes())
    processes = order.processes
    if order.device != "cpu":
        processes = min(processes, torch.cuda.device_count() or processes)
    meeting = directory.absolute() / "rendezvous"
    meeting.unlink(missing_ok=True)  # of workers that were killed
    environment = os.environ | {
        "WORLD_SIZE": str(processes),
        RENDEZVOUS: meeting.as_uri(),
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
    }
    workers = {}
    for rank in map(str, range(processes)):
        worker = subprocess.Popen(
            [sys.executable, "-m", "rstar_trainer.worker", str(directory)],
            env=environment | {"RANK": rank, "LOCAL_RANK": rank},
        )
        workers[worker.pid] = worker

    def stop(*_: object) -> None:
        for worker in workers.values():
            worker.terminate()

    signal.signal(signal.SIGTERM, stop)
    first = os.EX_OK
    for _ in range(processes):
        pid, wait_status = os.wait()
        del workers[pid]
        status = os.waitstatus_to_exitcode(wait_status)
        first = first or status
        if status not in TOGETHER:
            for other in workers.values():
                other.kill()
    return first


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

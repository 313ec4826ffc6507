"""Starts several workers of one job: `python -m rstar_trainer.launch PROCESSES DIRECTORY`.

This is torchrun on this machine, made to die with the service.
"""

from __future__ import annotations

import sys

import torch
from torch.distributed.run import main as torchrun

from rstar_trainer.die_with_parent import die_with_parent


def at_most_one_a_gpu(processes: int) -> int:
    """So many, or as many as there are GPUs where there are any."""
    return min(processes, torch.cuda.device_count() or processes)


if __name__ == "__main__":
    die_with_parent()
    processes, directory = sys.argv[1:]
    torchrun(
        [
            *("--standalone", "--nproc-per-node", str(at_most_one_a_gpu(int(processes)))),
            *("-m", "rstar_trainer.worker", directory),
        ]
    )

"""Starts several workers of one job: `python -m rstar_trainer.launch PROCESSES DIRECTORY`.

This is torchrun on this machine, made to die with the service.
"""

from __future__ import annotations

import sys

from torch.distributed.run import main as torchrun

from rstar_trainer.die_with_parent import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    processes, directory = sys.argv[1:]
    torchrun(
        [
            *("--standalone", "--nproc-per-node", processes),
            *("-m", "rstar_trainer.worker", directory),
        ]
    )

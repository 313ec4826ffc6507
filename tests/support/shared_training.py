"""Orders carried out one after another, by one process or by those that torchrun started.

python -m tests.support.shared_training COPIED... -- SHARDED...
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rstar_trainer.job import ORDER_FILE, WorkOrder
from rstar_trainer.policy_job import make_policy
from rstar_trainer.ppm_job import make_ppm
from rstar_trainer.ranks import Ranks, joined
from rstar_trainer.spec import PolicySpec
from rstar_trainer.work import Work


def carry_out(directories: Iterable[str | Path], ranks: Ranks) -> None:
    """What the worker does for one directory; here for several, so that imports are paid once."""
    for directory in map(Path, directories):
        order = WorkOrder.model_validate_json((directory / ORDER_FILE).read_bytes())
        work = Work(directory, order, ranks)
        if isinstance(order.spec, PolicySpec):
            make_policy(work, order.spec)
        else:
            make_ppm(work, order.spec)


if __name__ == "__main__":
    with joined() as joined_ranks:
        cut = sys.argv.index("--")
        carry_out(sys.argv[1:cut], joined_ranks)
        carry_out(sys.argv[cut + 1 :], replace(joined_ranks, copied=0))

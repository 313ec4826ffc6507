"""How often Python looks for reference cycles in a searcher: seldom among old objects.

Trees are hundreds of megabytes of values without cycles, and a full collection visits
every one of them: with 1,000 trees at once it stopped the searcher for 0.2 s at a time.
What has cycles here, tasks and exceptions, dies young.
"""

from __future__ import annotations

import gc

YOUNG, MIDDLE, OLD = 2_000, 10, 1_000
"""Allocations before a young collection; young ones before a middle one; middle ones before
a full one: one in 20 million."""


def spare_the_old() -> None:
    """Set the thresholds for this process."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)

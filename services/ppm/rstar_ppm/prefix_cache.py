"""Keys and values of prefixes seen before, least recently used first out.

A search scores a node's children after it scored the node: the node's prefix is then
known, and only the new steps are computed. Entries belong to one version of the weights;
a new version has a cache of its own. Touched by the scoring thread alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

from rstar_ppm.layout import Segment


class PrefixCache:
    """At most `max_tokens` tokens of keys and values."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._entries: OrderedDict[bytes, Tensor] = OrderedDict()
        self.tokens = 0

    def known(self, path: Sequence[Segment]) -> list[Tensor]:
        """Keys and values of the longest known beginning of `path`, one tensor a segment."""
        found: list[Tensor] = []
        for segment in path:
            entry = self._entries.get(segment.key)
            if entry is None:
                break
            found.append(entry)
        # Ancestors are touched last: an entry is of no use without those before it.
        for segment in reversed(path[: len(found)]):
            self._entries.move_to_end(segment.key)
        return found

    def add(self, segment: Segment, keys_values: Tensor) -> None:
        """Remember a segment's keys and values; `keys_values` must own its memory."""
        size = len(segment.token_ids)
        if segment.key in self._entries or size > self._max_tokens:
            return
        self._entries[segment.key] = keys_values
        self.tokens += size
        while self.tokens > self._max_tokens:
            _, old = self._entries.popitem(last=False)
            self.tokens -= int(old.shape[-2])

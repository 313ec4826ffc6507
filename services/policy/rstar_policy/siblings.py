"""The samples of one query, and which of them are so long that they are cut off.

With `enough` set, the limit is the length of the longest of that many shortest samples: all
samples of a query run at once, so by then the others have got as far and are still not at
their end. Lengths decide and not the order of arrival, so the same seeds give the same
candidates on a busy engine too: a sample that was ended from outside before it had come to
the limit (its place was free later, or weights were swapped) is missing, and is sampled anew
up to the limit.
"""

from __future__ import annotations

from dataclasses import replace

from rstar_policy.generation import Generation

NO_LIMIT = 2**31 - 1


class Siblings:
    """See the module."""

    def __init__(self, count: int, *, enough: int) -> None:
        """`enough` of 0, or as many as there are, cuts nothing off."""
        self._count = count
        self._enough = enough if 0 < enough < count else 0
        self._ended: dict[int, Generation] = {}
        self._aborted: dict[int, Generation] = {}

    @property
    def limit(self) -> int:
        """Tokens a sample may have, as far as is known by now."""
        if not self._enough or self.wanted:
            return NO_LIMIT
        lengths = sorted(len(generation.token_ids) for generation in self._ended.values())
        return lengths[self._enough - 1]

    @property
    def wanted(self) -> int:
        """Samples that have yet to end before the others need not; 0: all have to."""
        return max(0, self._enough - len(self._ended))

    def add(self, index: int, generation: Generation) -> None:
        """Take what came of a sample."""
        (self._aborted if generation.aborted else self._ended)[index] = generation

    def missing(self) -> list[int]:
        """Samples of which too little is known."""
        limit = self.limit
        return [
            index
            for index in range(self._count)
            if index not in self._ended
            and (index not in self._aborted or len(self._aborted[index].token_ids) < limit)
        ]

    def cut(self) -> list[Generation]:
        """Every sample in order, none beyond the limit. Nothing may be missing."""
        limit = self.limit
        samples = [self._ended.get(i) or self._aborted[i] for i in range(self._count)]
        return [
            replace(each, token_ids=each.token_ids[:limit], logprobs=each.logprobs[:limit])
            for each in samples
        ]

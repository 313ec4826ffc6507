"""Where every token of a scoring batch goes: pure arithmetic over lists.

One row scores one call. The tokens of the common prefix that no earlier call computed
(the stem) are followed by all siblings. A sibling sees the cached prefix, the stem and
itself, never another sibling, and its positions go on from the stem: so one forward pass
gives each sibling what it would get alone, and the prefix is computed once.

    keys      cached | stem | sibling 1 | sibling 2
    stem         x       x
    sibling 1    x       x        x
    sibling 2    x       x                    x
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

ROOT_KEY = b""
"""Key of the empty prefix."""


def chain_key(parent: bytes, token_ids: Sequence[int]) -> bytes:
    """Names a prefix by all its tokens and by how it is cut into segments."""
    return hashlib.blake2b(parent + array("q", token_ids).tobytes(), digest_size=16).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of a sequence: the question, or one step with what the system wrote after it."""

    key: bytes
    """Of the prefix that ends with this segment."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringCall:
    """The tokens of one `Score` call."""

    path: tuple[Segment, ...]
    """The question, then the steps of the common prefix."""

    siblings: tuple[Segment, ...]

    @classmethod
    def of(cls, path: Sequence[Sequence[int]], siblings: Sequence[Sequence[int]]) -> ScoringCall:
        """Name the segments."""
        key, segments = ROOT_KEY, []
        for ids in path:
            key = chain_key(key, ids)
            segments.append(Segment(key=key, token_ids=tuple(ids)))
        return cls(
            path=tuple(segments),
            siblings=tuple(
                Segment(key=chain_key(key, ids), token_ids=tuple(ids)) for ids in siblings
            ),
        )

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence to be scored."""
        stem = sum(len(segment.token_ids) for segment in self.path)
        return stem + max(len(segment.token_ids) for segment in self.siblings)

    @property
    def largest_id(self) -> int:
        """The largest token id."""
        return max(max(segment.token_ids) for segment in (*self.path, *self.siblings))

    @property
    def tokens(self) -> int:
        """Tokens to be computed if nothing is cached."""
        return sum(len(segment.token_ids) for segment in (*self.path, *self.siblings))

    def split(self, most_tokens: int) -> list[ScoringCall]:
        """Calls of siblings with at most so many tokens together, or a single one.

        All siblings of a call share one row, and its mask grows with the square of its tokens.
        """
        parts: list[list[Segment]] = [[]]
        tokens = 0
        for sibling in self.siblings:
            size = len(sibling.token_ids)
            if parts[-1] and tokens + size > most_tokens:
                parts.append([])
                tokens = 0
            parts[-1].append(sibling)
            tokens += size
        return [ScoringCall(path=self.path, siblings=tuple(part)) for part in parts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One call laid out: what is computed, and what is read from the cache."""

    cached: int
    """Tokens of the prefix whose keys and values are known."""

    stem: int
    """Tokens of the prefix that are computed now."""

    token_ids: list[int]
    positions: list[int]
    segments: list[tuple[Segment, int]]
    """What is computed, with the column it starts at: for the cache."""

    last: list[int]
    """Column of each sibling's last token."""

    spans: list[tuple[int, int]]
    """Columns of each sibling, end excluded."""


def lay_out(call: ScoringCall, *, cached_segments: int) -> Row:
    """Lay out `call`, of whose path the first `cached_segments` segments are known."""
    cached = sum(len(segment.token_ids) for segment in call.path[:cached_segments])
    token_ids: list[int] = []
    positions: list[int] = []
    segments: list[tuple[Segment, int]] = []
    for segment in call.path[cached_segments:]:
        segments.append((segment, len(token_ids)))
        token_ids += segment.token_ids
    stem = len(token_ids)
    positions += range(cached, cached + stem)
    spans: list[tuple[int, int]] = []
    for sibling in call.siblings:
        start = len(token_ids)
        segments.append((sibling, start))
        token_ids += sibling.token_ids
        positions += range(cached + stem, cached + stem + len(sibling.token_ids))
        spans.append((start, len(token_ids)))
    return Row(
        cached=cached,
        stem=stem,
        token_ids=token_ids,
        positions=positions,
        segments=segments,
        last=[end - 1 for _, end in spans],
        spans=spans,
    )

"""Preference groups as a PPM sees them: token ids of each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from rstar_common.formats import Encoder, PromptStep
from rstar_trainer.pairs import PreferenceGroup, ValuedSteps

Line = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGroup:
    """A preference group as the model sees it."""

    preferred: tuple[Line, ...]
    rejected: tuple[Line, ...]
    final: bool
    values: tuple[float, ...] = ()
    """The Q of each line, where that is what is learned; then there are no sides."""

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.preferred + self.rejected

    @property
    def common(self) -> int:
        """How many tokens all lines begin with."""
        columns = zip(*self.lines, strict=False)
        return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))

    @property
    def tokens(self) -> int:
        """What is computed for it: what the lines have in common counts once."""
        common = self.common
        return common + sum(len(line) - common for line in self.lines)


def tokenize_group(
    encoder: Encoder, group: PreferenceGroup, *, max_length: int
) -> TokenGroup | None:
    """Token ids of a group, or None if no pair of it fits `max_length`."""

    def lines(paths: Sequence[Sequence[PromptStep]]) -> tuple[Line, ...]:
        encoded = (tuple(encoder.prompt_ids(group.question, path)) for path in paths)
        return tuple(line for line in encoded if len(line) <= max_length)

    preferred, rejected = lines(group.preferred), lines(group.rejected)
    if not (preferred and rejected):
        return None
    return TokenGroup(preferred=preferred, rejected=rejected, final=group.final)


def tokenize_values(encoder: Encoder, steps: ValuedSteps, *, max_length: int) -> TokenGroup | None:
    """Token ids of siblings with their values, or None if none fits `max_length`."""
    encoded = [tuple(encoder.prompt_ids(steps.question, path)) for path in steps.paths]
    kept = [
        (line, value)
        for line, value in zip(encoded, steps.values, strict=True)
        if len(line) <= max_length
    ]
    if not kept:
        return None
    lines, values = zip(*kept, strict=True)
    return TokenGroup(preferred=lines, rejected=(), final=False, values=values)

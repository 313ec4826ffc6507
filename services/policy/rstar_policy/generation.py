"""What the SGLang engine needs of a token generator: SGLang itself, or a test's script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the sequences of one call are sampled."""

    seeds: Sequence[int]
    """One sequence for each."""

    temperature: float
    """0 is greedy."""

    top_p: float
    max_new_tokens: int
    stop_token_ids: Sequence[int]
    stop_texts: Sequence[str] = ()
    enough: int = 0
    """Once so many sequences have ended the others are aborted; 0: all are waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generated sequence."""

    token_ids: Sequence[int]
    """The stop token included."""

    logprobs: Sequence[float]
    """At temperature 1, one for each token."""

    prompt_tokens: int
    cached_tokens: int
    weight_version: str
    """As the generator calls its weights."""

    aborted: bool = False
    """It was ended from outside: by `enough`, or by somebody else."""


class Generator(Protocol):
    """Continues token sequences."""

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> list[Generation]:
        """One sequence for each seed, in their order. Raises `Unavailable`, `Overloaded`."""
        ...

    async def abort_cancelled(self) -> None:
        """Free what cancelled calls held, for ever. Run as a task."""
        ...

    async def abort_all(self) -> None:
        """End every running sequence; each answers with `aborted`. Raises `Unavailable`."""
        ...

    async def update_weights(self, directory: Path, *, version: str) -> None:
        """Load other weights of the same architecture and forget every cached prefix.

        Raises:
            Unavailable: it did not take them.
        """
        ...

    async def check_health(self, timeout_seconds: float) -> None:
        """Raises `Unavailable` unless it generates within `timeout_seconds`."""
        ...


class Server(Protocol):
    """A generator that is up, and the process or peer behind it."""

    @property
    def generator(self) -> Generator: ...

    async def exited(self) -> str:
        """Wait for its end; returns what to tell people."""
        ...

"""Clients that ask all the time and count what fails, while something is done to the stack."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from rstar_client import AsyncClient, RetryPolicy, Settings
from rstar_client.errors import RstarError

CALL_SECONDS = 300.0
SETTINGS = Settings(rollouts=2, candidates=4)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the clients of one kind saw."""

    calls: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    """By class and words of the error."""

    longest_seconds: float = 0.0

    def to_json(self) -> dict[str, object]:
        """For a report."""
        return {
            "calls": self.calls,
            "failed": sum(self.failed.values()),
            "failures": dict(self.failed.most_common(5)),
            "longest_seconds": round(self.longest_seconds, 2),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """All clients."""

    usual: Tally = field(default_factory=Tally)
    """With the retries that the client has unless told otherwise."""

    impatient: Tally = field(default_factory=Tally)
    """That never try again: what the retries hide."""

    def to_json(self) -> dict[str, object]:
        """For a report."""
        return {"usual": self.usual.to_json(), "without_retries": self.impatient.to_json()}


@asynccontextmanager
async def load(addresses: Sequence[str], *, clients: int) -> AsyncGenerator[Load]:
    """Ask from so many clients for the length of the block, each one of `addresses`.

    As many more never try a call again.
    """
    counted = Load()
    stop = asyncio.Event()

    async def keep_asking(client: AsyncClient, tally: Tally, number: int) -> None:
        clock = asyncio.get_running_loop().time
        rng = Random(number)
        while not stop.is_set():
            question = f"Calculate {rng.randrange(100)} + {rng.randrange(100)}."
            began = clock()
            tally.calls += 1
            try:
                await client.solve(question, SETTINGS, timeout_seconds=CALL_SECONDS)
            except RstarError as error:
                tally.failed[f"{type(error).__name__}: {error}"[:200]] += 1
            tally.longest_seconds = max(tally.longest_seconds, clock() - began)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for number in range(clients):
            address = addresses[number % len(addresses)]
            for tally, attempts in (
                (counted.usual, RetryPolicy().attempts),
                (counted.impatient, 1),
            ):
                client = AsyncClient(address, retry=RetryPolicy(attempts=attempts))
                await stack.enter_async_context(client)
                group.create_task(keep_asking(client, tally, number))
        try:
            yield counted
        finally:
            stop.set()  # calls under way are waited for, and count

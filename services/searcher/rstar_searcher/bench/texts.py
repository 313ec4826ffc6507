"""Questions and steps that name their own place in the simulated world.

A service is asked with texts only; the first line of a step says which node it is, and
the rest is as long as its tokens would make it, so that wire and memory carry real loads.
"""

from __future__ import annotations

from functools import lru_cache

from rstar_searcher.bench.world import ROOT_PATH, World

_FILLER = "x = x + 1\n"
CHARACTERS_PER_TOKEN = 3
VOCABULARY = 32_000


def question_of(pid: int) -> str:
    """The question of a problem."""
    return f"problem {pid} of the simulated world?"


def pid_of(question: str) -> int:
    """The problem a question names."""
    return int(question.split(" ", 2)[1])


def step_text(pid: int, path: str, tokens: int) -> str:
    """The text of a step of so many tokens."""
    head = f"# {pid} {path}\n"
    room = max(0, CHARACTERS_PER_TOKEN * tokens - len(head))
    return head + _FILLER * (room // len(_FILLER))


def place_of(text: str) -> tuple[int, str]:
    """Problem and path of a step."""
    _, pid, path = text[: text.index("\n")].split(" ", 2)
    return int(pid), path


def place_below(question: str, steps: list[str]) -> tuple[int, str]:
    """Problem and path of the node that `steps` lead to."""
    return place_of(steps[-1]) if steps else (pid_of(question), ROOT_PATH)


def is_answer(world: World, pid: int, path: str) -> bool:
    """Whether a node is an answer: a child of a final code step."""
    parent = path.rpartition(".")[0]
    return bool(parent) and _final(world, pid, parent)


@lru_cache(maxsize=100_000)
def _final(world: World, pid: int, path: str) -> bool:
    return world.is_final(pid, path)


def token_ids(path: str, count: int) -> list[int]:
    """Ids of a step's tokens: any, but those of one step always the same."""
    first = 31 * sum(path.encode()) % VOCABULARY
    return [(first + 7919 * i) % VOCABULARY for i in range(count)]


def logprobs(count: int) -> list[float]:
    """Log-probabilities, as distinct floats as an engine's would be."""
    return [-(i + 1) / 977 for i in range(count)]

"""Pages of a list: a token names the last item that was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rstar_common.errors import InvalidInput

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, and the token of the page after them (empty on the last)."""

    items: Sequence[T]
    next_token: str


def page_of(items: Sequence[T], *, size: int, token: str, key: Callable[[T], str]) -> Page[T]:
    """The page of `items` after the item whose key is `token`.

    Raises:
        InvalidInput: no item has that key.
    """
    start = 0
    if token:
        places = [index for index, item in enumerate(items) if key(item) == token]
        if not places:
            raise InvalidInput("names no item", field="page_token")
        start = places[0] + 1
    end = start + min(size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    chosen = items[start:end]
    return Page(chosen, key(chosen[-1]) if end < len(items) else "")

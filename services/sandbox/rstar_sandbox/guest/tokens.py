"""The words of a LaTeX expression, one after the other, for the grammar to take."""

from __future__ import annotations

import re

from rstar_sandbox.guest.bounded import Unreadable

_TOKEN = re.compile(
    r"\s*(\\[A-Za-z]+|\\.|[1-9]\d{0,2}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+|\S)"
)

CLOSING = {
    "(": ")",
    "[": "]",
    "{": "}",
    r"\{": r"\}",
    r"\lfloor": r"\rfloor",
    r"\lceil": r"\rceil",
}
"""What ends what these begin."""


class Tokens:
    """A text cut into tokens, and how far it has been read."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    @property
    def next(self) -> str:
        """The one that follows; empty at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    @property
    def starts_number(self) -> bool:
        return self.next[:1].isdigit() or (self.next[:1] == "." and len(self.next) > 1)

    @property
    def has_digits(self) -> bool:
        """A whole number of several digits, or more, follows."""
        return self.next[:1].isdigit() and len(self.next) > 1

    def take(self) -> str:
        token = self.next
        self._at += 1
        return token

    def expect(self, wanted: str) -> None:
        """Take this token.

        Raises:
            Unreadable: another one follows.
        """
        if self.take() != wanted:
            raise Unreadable(f"{wanted!r} is missing")

    def untake(self, count: int = 1) -> None:
        """Go back by so many, split ones not among them."""
        self._at -= count

    def mark(self) -> int:
        """A place to `rewind` to."""
        return self._at

    def rewind(self, mark: int) -> None:
        self._at = mark

    def split_digit(self) -> None:
        """Let the first digit of what follows stand alone, as TeX does where braces are missing."""
        token = self.next
        self._tokens[self._at : self._at + 1] = [token[0], token[1:]]

    def braced(self) -> str:
        """What stands in the braces that follow, spaces apart."""
        self.expect("{")
        words = []
        while self.next not in ("}", ""):
            words.append(self.take())
        self.expect("}")
        return "".join(words)

    def subscript(self) -> str:
        """The subscript that follows, with its underscore."""
        self.expect("_")
        return "_" + (self.braced() if self.next == "{" else self.take())

"""What a sentence of a question asks or defines, without its particulars.

Mathematics becomes `#` and its shape: an answer to `r(3)` is found and written in another way than
one to `r(p(z))`. Words that few questions have, such as names and strings of letters, become `_`.

    Let x = 2 + 1.             let #xo= .
    What is x minus 5?         what is #d minus # ?

Pure text work: no knowledge of any data set, no parsing of mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

_ATOM = r"(?:\d+(?:\.\d+)?|(?<![A-Za-z])[A-Za-z](?![A-Za-z]))"
_JOIN = r"(?:\s*(?:[-+*/^=()]|,(?=\s*[-+(]*\d))+\s*"
_MATH = re.compile(r"[-+(]*" + _ATOM + _JOIN + _ATOM + r")*[)']*")
"""A run of numbers and single letters joined by operators: an expression, or a list."""

_ARTICLES = ("a", "A", "I")
"""Letters that are words where they stand alone."""

_WORDS = re.compile(r"[A-Za-z]+|[^\sA-Za-z]")
_LIST = re.compile(r"#\S*(?: ,(?: and| or)? #\S*)+(?: (?:and|or) #\S*)?|#\S*(?: #\S*)+")
_LETTER = re.compile(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
_APPLIED = re.compile(r"[A-Za-z]\(")
_ARGUMENT = re.compile(r"[A-Za-z]\(([A-Za-z])\)")
_DECIMAL = re.compile(r"\d\.\d")
_OPERATOR = re.compile(r"[A-Za-z\d)]\s*[-+*/^]")


def mathematics(text: str) -> Iterator[re.Match[str]]:
    """The pieces of mathematics in `text`."""
    return (m for m in _MATH.finditer(text) if m.group().strip() not in _ARTICLES)


def letters_of(text: str) -> frozenset[str]:
    """Letters that stand for a value in `text`; not those that are a function's argument."""
    letters = {letter for m in mathematics(text) for letter in _LETTER.findall(m.group())}
    return frozenset(letters - set(_ARGUMENT.findall(text)))


def words_of(text: str) -> list[str]:
    """Words and signs of `text` in lower case, with `#` for every piece of mathematics."""
    return ["#" if word.startswith("#") else word for word in _shaped_words(text, frozenset())]


def sentence_skeleton(
    text: str, common: Container[str], *, known: Container[str] = frozenset()
) -> str:
    """`text` in lower case, `#` for mathematics, `_` for words not in `common`.

    Letters that are `known` were given a value before.
    """
    words = [
        word if not word.isalpha() or word in common else "_" for word in _shaped_words(text, known)
    ]
    return _LIST.sub("#*", " ".join(words))


def _shaped_words(text: str, known: Container[str]) -> list[str]:
    words: list[str] = []
    end = 0
    for match in mathematics(text):
        words += _WORDS.findall(text[end : match.start()].lower())
        words.append("#" + _shape(match.group(), known))
        end = match.end()
    return words + _WORDS.findall(text[end:].lower())


def _shape(value: str, known: Container[str]) -> str:
    """What there is in a piece of mathematics, a sign for each.

    `f` a function's value, `d` a letter that is `known`, `x` another letter, `.` a decimal, `o` an
    operation, `^` a power, `=` an equation.
    """
    applied = {match.start() for match in _APPLIED.finditer(value)}
    letters = {m.group() for m in _LETTER.finditer(value) if m.start() not in applied}
    there = {
        "f": bool(applied),
        "d": any(letter in known for letter in letters),
        "x": any(letter not in known for letter in letters),
        ".": bool(_DECIMAL.search(value)),
        "o": bool(_OPERATOR.search(value)),
        "^": "**" in value or "^" in value,
    }
    return "".join(sign for sign in there if there[sign]) + "=" * value.count("=")

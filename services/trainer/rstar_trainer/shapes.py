"""What a sentence of a question asks or defines, without its particulars.

Mathematics becomes `#` and what matters of its shape. Words that few questions have, such as names
and strings of letters, become `_`. Words that only ask are left out.

    Let x = 2 + 1.                          let #xo=
    What is x minus 5?                      # minus #
    Calculate 3/4 - (-2 + 1).               #o

Pure text work: no knowledge of any data set, no parsing of mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence

_LETTER = r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])"
_ARTICLE = (
    r"(?<![-+*/^=(]\s)(?:a|A|I)(?=\s+[A-Za-z\d$\\(])(?!\s+(?:"
    r"an?|and|or|to|is|be|by|in|from|for|such|so|when|with|wrt|rounded|divided|not|equal|plus|minus"
    r"|times|(?:less|greater|bigger|smaller)\s+than)\b)"
)
_OPTION = r"\([A-Za-z]\)\s"
_FUNCTION = r"(?<![A-Za-z\\])[A-Za-z]+(?=\((?!s\)))"  # no plural(s)
_ATOM = (
    rf"(?:{_FUNCTION}|\d+(?:\.\d+)?"
    rf"|(?!{_ARTICLE})(?!(?<=\s\(){_LETTER}\)\s){_LETTER})"  # no option's name either
)
_JOIN = rf"(?:(?!\s+{_OPTION})\s*(?:[-+*/^=()]|,(?=\s*[-+(]*\d)))+\s*"
_MATH = re.compile(rf"(?<![-+(])[-+(]*{_ATOM}(?:{_JOIN}{_ATOM})*[)']*")
"""A run of numbers, letters and functions joined by operators: an expression, or a list."""

_ASKING = re.compile(
    r"^(?:what (?:is|are)|calculate|compute|determine|evaluate|find|give|work out)\b"
    r"(?: the value of\b)? ?"
)
_WORDS = re.compile(r"[A-Za-z]+|[^\sA-Za-z$]")
"""What marks mathematics is not told of."""

_OPTIONS = re.compile(r"\( \w+ \) #\S*(?: \( \w+ \) #\S*)+")
_LIST = re.compile(r"#\S*(?: ,(?: and| or)? #\S*)+(?: (?:and|or) #\S*)?|#\S*(?: #\S*)+")
_SHAPE = re.compile(r"#((?:[a-z,]+:)?)([^\s:]*)")
_NAMED = re.compile(r"(?<![A-Za-z])[A-Za-z]{2,}(?=\()")
_LETTERS = re.compile(_LETTER)
_APPLIED = re.compile(r"[A-Za-z]\(")
_ARGUMENT = re.compile(r"[A-Za-z]\(([A-Za-z])\)")
_DECIMAL = re.compile(r"\d\.\d")
_OPERATOR = re.compile(r"[A-Za-z\d)]\s*[-+*/^]")


def mathematics(text: str) -> Iterator[re.Match[str]]:
    """The pieces of mathematics in `text`."""
    return _MATH.finditer(text)


def letters_of(text: str) -> frozenset[str]:
    """Letters that stand for a value in `text`; not those that are a function's argument."""
    letters = {letter for m in mathematics(text) for letter in _LETTERS.findall(m.group())}
    return frozenset(letters - set(_ARGUMENT.findall(text)))


def words_of(text: str) -> list[str]:
    """Words and signs of `text` in lower case, with `#` for every piece of mathematics."""
    return ["#" if word.startswith("#") else word for word in _shaped_words(text, frozenset())]


def sentence_skeleton(text: str, common: Container[str]) -> str:
    """`text` in lower case, `#` for mathematics, `_` for words not in `common`."""
    return _joined(_shaped_words(text, frozenset()), common)


def asking_skeleton(text: str, common: Container[str], *, known: Container[str]) -> str:
    """As `sentence_skeleton`, without words that only ask and most of the shape.

    Letters that are `known` were given a value before. Of a sentence that asks for nothing but a
    value the whole shape is left, for how the value is written depends on it.
    """
    words = " ".join(_shaped_words(text, known)).rstrip("?. ")
    asked = _joined(_ASKING.sub("", words).split(), common)
    if asked.startswith("#") and " " not in asked:
        return asked
    return _SHAPE.sub(_in_brief, asked)


def wording(text: str, common: Container[str]) -> str:
    """As `sentence_skeleton`, without any shape."""
    return _SHAPE.sub("#", sentence_skeleton(text, common))


def _in_brief(shape: re.Match[str]) -> str:
    kept = "x.*=^" if "=" in shape[2] else "x.*"
    return f"#{shape[1]}" + "".join(sign for sign in shape[2] if sign in kept)


def _joined(words: Sequence[str], common: Container[str]) -> str:
    kept = [word if not word.isalpha() or word in common else "_" for word in words]
    return _LIST.sub("#*", _OPTIONS.sub("#*", " ".join(kept)))


def _shaped_words(text: str, known: Container[str]) -> list[str]:
    words: list[str] = []
    end = 0
    for match in mathematics(text):
        words += _WORDS.findall(text[end : match.start()].lower())
        words.append("#" + _shape(match.group(), known))
        end = match.end()
    return words + _WORDS.findall(text[end:].lower())


def _shape(value: str, known: Container[str]) -> str:
    """What there is in a piece of mathematics: names of functions (`gcd:`) and signs.

    `f` a function's value, `d` a letter that is `known`, `x` another letter, `.` a decimal, `o` an
    operation, `^` a power, `=` an equation. Of a list `*` alone is told.
    """
    names = ",".join(sorted({name.lower() for name in _NAMED.findall(value)}))
    named = names and f"{names}:"
    if "," in value:
        return f"{named}*"
    applied = {match.start() for match in _APPLIED.finditer(value)}
    letters = {m.group() for m in _LETTERS.finditer(value) if m.start() not in applied}
    there = {
        "f": bool(applied),
        "d": any(letter in known for letter in letters),
        "x": any(letter not in known for letter in letters),
        ".": bool(_DECIMAL.search(value)),
        "o": bool(_OPERATOR.search(value)),
        "^": "**" in value or "^" in value,
    }
    signs = "".join(sign for sign in there if there[sign])
    return named + signs + "=" * value.count("=")

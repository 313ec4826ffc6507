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
    r"(?<![-+*/^=(]\s)(?:a|A|I)(?=\s+[A-Za-z])"
    r"(?!\s+(?:an?|and|or|to|is|be|by|in|from|for|such|when|with|wrt|rounded|divided)\b)"
)
_OPTION = r"\([A-Za-z]\)\s"
_ATOM = (
    r"(?:(?<![A-Za-z])[A-Za-z]+(?=\()"  # what is applied to something
    r"|\d+(?:\.\d+)?"
    rf"|(?!{_ARTICLE})(?!(?<=\s\(){_LETTER}\)\s){_LETTER})"  # no option's name either
)
_JOIN = rf"(?:(?!\s+{_OPTION})\s*(?:[-+*/^=()]|,(?=\s*[-+(]*\d)))+\s*"
_MATH = re.compile(rf"[-+(]*{_ATOM}(?:{_JOIN}{_ATOM})*[)']*")
"""A run of numbers, letters and functions joined by operators: an expression, or a list."""

_ASKING = re.compile(
    r"^(?:what (?:is|are)|calculate|compute|determine|evaluate|find|give|work out)\b"
    r"(?: the value of\b)? ?"
)
_WORDS = re.compile(r"[A-Za-z]+|[^\sA-Za-z]")
_OPTIONS = re.compile(r"\( \w+ \) #\S*(?: \( \w+ \) #\S*)+")
_LIST = re.compile(r"#\S*(?: ,(?: and| or)? #\S*)+(?: (?:and|or) #\S*)?|#\S*(?: #\S*)+")
_SHAPE = re.compile(r"#[fdo^]*(x?)[fdo^]*(\.?)[fdo^]*")
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
    """As `sentence_skeleton`, without what makes no difference to an answer.

    Letters that are `known` were given a value before. Of a sentence that asks for nothing but a
    value the shape is left, for how the value is written depends on it.
    """
    words = " ".join(_shaped_words(text, known)).rstrip("?.! ")
    asked = _joined(_ASKING.sub("", words).split(), common)
    if asked.startswith("#") and " " not in asked:
        return asked
    return _SHAPE.sub(r"#\1\2", asked)


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
    """What there is in a piece of mathematics, a sign for each.

    `f` a function's value, `d` a letter that is `known`, `x` another letter, `.` a decimal, `o` an
    operation, `^` a power, `=` an equation.
    """
    if "," in value:
        return "*"
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
    return "".join(sign for sign in there if there[sign]) + "=" * value.count("=")

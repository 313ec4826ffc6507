"""What is left of a question or a program when its particulars are taken out.

Two questions of one kind have one skeleton; a program's skeleton names the values it uses
by where the question gives them, so `a - b` and `b - a` differ and `7 - 5` and `94 - 3`
do not. Pure text work: no knowledge of any data set, no parsing of mathematics.

    What is 7 minus 5?       what is # minus # ?       print(7 - 5)      print ( #0 - #1 )
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rstar_common.formats import PromptStep

_ATOM = r"(?:\d+(?:\.\d+)?|(?<![A-Za-z])[A-Za-z](?![A-Za-z]))"
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[A-Za-z_]\w*|\*\*|//|[^\sA-Za-z_0-9]")
_JOIN = r"(?:\s*(?:\*\*|//|[-+*/^=()]|,(?=\s*[-+(]*\d))+\s*"
_MATH = re.compile(r"[-+(]*" + _ATOM + _JOIN + _ATOM + r")*[)']*")
"""A run of numbers and single letters joined by operators: an expression, or a list."""

_COMMENT = re.compile(r"#[^\n]*")
_STRING = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_SPACES = re.compile(r"\s+")
_ASSIGNED = re.compile(r"^\s*([A-Za-z_]\w*)\s*=(?!=)", re.MULTILINE)


def spans(question: str) -> list[str]:
    """The pieces of mathematics in `question`, in order, each once, without spaces."""
    found: dict[str, None] = {}
    for match in _MATH.finditer(question):
        text = _canonical(match.group())
        if _is_word(match.group()):
            continue
        found.setdefault(text, None)
    return list(found)


def question_skeleton(question: str) -> str:
    """`question` in lower case, with `#` for every piece of mathematics."""
    text = _MATH.sub(lambda match: match.group() if _is_word(match.group()) else " # ", question)
    words = re.findall(r"#|[A-Za-z]+|\d+|[^\sA-Za-z0-9]", text.lower())
    return " ".join(words)


def last_clause(question: str) -> str:
    """The sentence that asks: the last one, or the last that ends in a question mark."""
    sentences = [part for part in re.split(r"(?<=[.?!])\s+", question.strip()) if part]
    asking = [part for part in sentences if part.endswith("?")]
    return (asking or sentences or [question])[-1]


def program_skeleton(question: str, steps: Sequence[PromptStep]) -> str:
    """The program of `steps` without comments, its names and values abstracted.

    Variables are renamed in order of their first assignment; every value that the question
    gives is replaced by its place there.
    """
    given = spans(question)
    code = "\n".join(_COMMENT.sub("", step.text) for step in steps)
    names = {name: f"v{index}" for index, name in enumerate(dict.fromkeys(_ASSIGNED.findall(code)))}
    places = {text: f"#{index}" for index, text in enumerate(given)}
    code = _STRING.sub(lambda match: _place(match.group()[1:-1], places) + " ", code)
    code = _MATH.sub(lambda match: _place(match.group(), places), code)
    tokens = [names.get(token, token) for token in re.findall(r"#\d+|" + _TOKEN.pattern, code)]
    return " ".join(tokens)


def _place(text: str, places: dict[str, str]) -> str:
    return " " + places[key] + " " if (key := _canonical(text)) in places else text


def _canonical(text: str) -> str:
    return _SPACES.sub("", text).replace("^", "**").strip("()'=,")


def _is_word(text: str) -> bool:
    # The article and the pronoun are single letters too.
    return text.strip() in ("a", "A", "I")

"""Cuts a question into sentences, and a sentence into mathematical spans and counted words.

Only the shape of a token decides: digits, operators, brackets, single letters, `name(…)`. A word is
a run of letters; nothing here looks at which word it is, and all that leaves this module is how
many words stand before a span. Replacing words by other words therefore changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

REPEATS_PER_LETTER = 1.8
"""A run of small letters this many times as long as its distinct letters are many is a string of
symbols, not a word: `aataa`. Few natural words are (`nineteen`)."""

MIN_STRING = 4
"""Shortest run of letters that the rule above may call a string of symbols."""


class Shape(StrEnum):
    """What a span looks like."""

    SCALAR = "scalar"
    EQUATION = "equation"
    RELATION = "relation"
    LIST = "list"
    DIGITS = "digits"
    CHOICES = "choices"
    BAG = "bag"
    PICK = "pick"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A mathematical span; `gap` counts the words between it and the span before."""

    shape: Shape
    text: str
    gap: int = 0


CHOICE = re.compile(r"(?<=\s)\(([a-z])\)\s+(.+?)(?=\s+\([a-z]\)\s|\s*$)")
SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
TOKENS = r"""
    (?P<bag>\{[a-z]:\s*\d+(?:,\s*[a-z]:\s*\d+)*\})
  | (?P<clock>\b\d{1,2}:\d\d\s[A-Z]{2}\b)
  | (?P<count>(?<![\w.*/+-])\d+\s[ALPHABET](?![\w'(]))
  | (?P<call>[a-z]{2,}(?=\())
  | (?P<decimal>\d+\.\d+)
  | (?P<digits>(?=[a-z]*\d)(?=\d*[a-z])[a-z0-9]+)
  | (?P<number>\d+)
  | (?P<index>(?<![\w'])[A-Za-z](?='[a-z]))
  | (?P<symbol>[A-Za-z](?![A-Za-z0-9]))
  | (?P<word>[A-Za-z]+)
  | (?P<operator>\*\*|<=|>=|!=|[-+*/=<>(),])
  | (?P<other>\S)
"""
NO_LETTERS = r"\b\B"
OPERANDS = {"decimal", "digits", "number", "symbol", "index"}


def sentences(question: str) -> tuple[list[list[Span]], Span | None]:
    """The spans of each sentence, and the labelled choices if the question offers any."""
    labelled = CHOICE.findall(question)
    choices = None
    if len(labelled) >= 2:
        choices = Span(
            shape=Shape.CHOICES, text=", ".join(f"{label}: {value}" for label, value in labelled)
        )
        question = question[: CHOICE.search(question).start()]  # type: ignore[union-attr]  # found
    alphabet = _alphabet(question)
    parts = [part for part in SENTENCE_END.split(question.strip()) if part]
    return [_spans(part, alphabet) for part in parts], choices


def is_letter_string(word: str) -> bool:
    """Whether a run of letters repeats itself as no word does."""
    return (
        word.islower()
        and len(word) >= MIN_STRING
        and len(word) >= REPEATS_PER_LETTER * len(set(word))
    )


def _alphabet(question: str) -> set[str]:
    """Letters that a bag of letters in the question is made of."""
    bags = {
        letter
        for bag in re.findall(r"\{([^}]*)\}", question)
        for letter in re.findall("[a-z]", bag)
    }
    strings = [word for word in re.findall(r"\b[a-z]+\b", question) if is_letter_string(word)]
    return bags.union(*strings)


@lru_cache(maxsize=64)
def _tokens(alphabet: str) -> re.Pattern[str]:
    """The token pattern; only letters of a bag can be counted (`2 a`)."""
    letters = f"[{alphabet}]" if alphabet else NO_LETTERS
    return re.compile(TOKENS.replace("[ALPHABET]", letters), re.VERBOSE)


def _spans(sentence: str, alphabet: set[str]) -> list[Span]:
    spans: list[Span] = []
    run: list[str] = []
    gap = 0
    kind_before = ""

    def close() -> None:
        nonlocal gap, kind_before
        found = _classify("".join(run), gap)
        run.clear()
        kind_before = ""
        if found:
            spans.extend(found)
            gap = 0

    end = 0
    for match in _tokens("".join(sorted(alphabet))).finditer(sentence):
        kind, text = match.lastgroup or "", match.group()
        blank = sentence[end : match.start()]
        end = match.end()
        if kind == "word" and (is_letter_string(text) or (alphabet and set(text) <= alphabet)):
            close()
            shape = Shape.BAG if is_letter_string(text) else Shape.PICK
            spans.append(Span(shape=shape, text=text, gap=gap))
            gap = 0
        elif kind in {"bag", "clock", "count"}:
            close()
            shape = {"bag": Shape.BAG, "clock": Shape.CLOCK, "count": Shape.PICK}[kind]
            spans.append(Span(shape=shape, text=text.strip("{}"), gap=gap))
            gap = 0
        elif kind in {"word", "other"}:
            close()
            gap += kind == "word"
        else:
            closes_operand = kind_before in OPERANDS or (run and run[-1].endswith(")"))
            opens_operand = kind in OPERANDS or (text == "(" and bool(blank)) or kind == "call"
            if run and closes_operand and opens_operand:
                close()
                blank = ""
            run.append((blank if run else "") + text)
            kind_before = kind
    close()
    return spans


def _classify(raw: str, gap: int) -> list[Span]:
    text = _trim(raw)
    if not text or not re.search(r"[A-Za-z0-9]", text):
        return []
    items = _split_commas(text)
    if " = " in text:
        spans = [
            Span(shape=Shape.EQUATION if " = " in item else Shape.SCALAR, text=item)
            for item in items
        ]
    elif len(items) > 1:
        spans = [Span(shape=Shape.LIST, text=", ".join(items))]
    elif re.search(r"\b(?=[a-z]*\d)(?=\d*[a-z])[a-z0-9]+", text):
        spans = [Span(shape=Shape.DIGITS, text=text)]
    elif re.search(r"[<>]|!=", text):
        spans = [Span(shape=Shape.RELATION, text=text)]
    else:
        spans = [Span(shape=Shape.SCALAR, text=text)]
    first = spans[0]
    return [Span(shape=first.shape, text=first.text, gap=gap), *spans[1:]]


def _trim(raw: str) -> str:
    """Drops punctuation that hangs on a span: commas, operators at its ends, lone brackets."""
    text = raw.strip()
    while text:
        before = text
        text = text.strip(" ,").rstrip("+-*/=<>").lstrip("+*/=<>").strip()
        if text.count("(") > text.count(")"):
            text = text[1:] if text[0] == "(" else text[:-1] if text[-1] == "(" else text
        elif text.count(")") > text.count("("):
            text = text[:-1] if text[-1] == ")" else text[1:] if text[0] == ")" else text
        if text == before:
            break
    return text if text.count("(") == text.count(")") else ""


def _split_commas(text: str) -> list[str]:
    """Items between the commas that no bracket encloses."""
    items, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            items.append(text[start:index].strip())
            start = index + 1
    items.append(text[start:].strip())
    return [item for item in items if item]

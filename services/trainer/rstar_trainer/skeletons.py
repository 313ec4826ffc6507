"""What is left of a question or a program when its particulars are taken out.

Two questions that ask the same have one skeleton, and so have two programs that answer
them alike. Values are named by where the question gives them, so `a - b` and `b - a`
differ while `7 - 5` and `94 - 3` do not. Only the part that asks is compared: definitions
before it, and the lines of a program that take values from them, are left out. Pure text
work: no knowledge of any data set, no parsing of mathematics.

    Let x = 2 + 1. What is x minus 5?       what is # minus # ?
    x = E('2 + 1')                          (left out)
    A = E('5')                              v0 = E ( #1 )
    print(x - A)                            print ( d0 - v0 )
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Sequence

from rstar_common.formats import PromptStep

_ATOM = r"(?:\d+(?:\.\d+)?|(?<![A-Za-z])[A-Za-z](?![A-Za-z]))"
_JOIN = r"(?:\s*(?:\*\*|//|[-+*/^=()]|,(?=\s*[-+(]*\d))+\s*"
_MATH = re.compile(r"[-+(]*" + _ATOM + _JOIN + _ATOM + r")*[)']*")
"""A run of numbers and single letters joined by operators: an expression, or a list."""

_WORDS = re.compile(r"#|[A-Za-z]+|[^\sA-Za-z]")
_LIST = re.compile(r"#(?: ,(?: and| or)? #)+(?: (?:and|or) #)?|#(?: #)+")
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
_STRING = re.compile(r"\"([^\"\n]*)\"|'([^'\n]*)'")
_COUNTS = re.compile(r"\b[a-z]=\d+(?:, ?[a-z]=\d+)*")
_OPTIONS = re.compile(r"\b[a-z]=(\w*)\(? #-?\d+ \)?(?:, [a-z]=\1\(? #-?\d+ \)?)+")
"""Named values alike: `dict(a=E( #0 ), b=E( #1 ))`. How many there are is a particular."""

_LONG_NUMBER = re.compile(r"(?<![\w.*])\d\d+(?:\.\d+)?|(?<=[=(]\s)\d+(?=\)|$)|(?<=[=(])\d+(?=\)|$)")
_TARGETS = re.compile(r"^([\w\s,()]+?),?\s*=(?!=)")
_NAME = re.compile(r"[A-Za-z_]\w*")
_CODE = re.compile(r"#-?\d+|#def|[A-Za-z_]\w*|\d+(?:\.\d+)?|\*\*|//|[^\sA-Za-z_0-9]")
_LEFT_OUT = re.compile(r"from |import |#|\w+ = lambda ")
"""Lines that compute nothing: imports, comments, helpers."""


class AskedQuestion:
    """A question, and where its values stand."""

    def __init__(self, question: str) -> None:
        start = _asking_start(question)
        self.asking = question[start:]
        matches = [m for m in _MATH.finditer(question) if m.group().strip() not in ("a", "A", "I")]
        starts: list[int] = []
        for match in matches:
            starts.append(match.start())
            # The sides of an equation are values of their own.
            starts += [match.start() + i + 1 for i, c in enumerate(match.group()) if c == "="]
        self._starts = starts
        self._first = bisect_right(starts, start - 1)
        kept = [(i, c) for i, c in enumerate(question.replace("^", "**")) if not c.isspace()]
        # `^` became two characters; offsets after it are late by one, which no span minds.
        self._offsets = [i for i, _ in kept]
        self._text = "".join(c for _, c in kept)

    def skeleton(self, common: Container[str]) -> str:
        """The asking part in lower case, `#` for mathematics, `_` for words not in `common`."""
        words = [
            word if not word.isalpha() or word in common else "_" for word in words_of(self.asking)
        ]
        return _LIST.sub("#*", " ".join(words))

    def place(self, value: str, *, use: int = 0) -> str:
        """Where the question gives `value`: `#def`, `#0`, `#1` …; empty if it does not.

        A value that is asked about twice has two places: the first use takes the first.
        """
        text = re.sub(r"\s+", "", value).replace("^", "**")
        if not any(c.isalnum() for c in text):
            return ""
        found = self._occurrences(text)
        asked = [at for at in found if self._offsets[at] >= self._asking_offset]
        if not asked:
            return "#def" if found else ""
        at = self._offsets[asked[min(use, len(asked) - 1)]]
        return f"#{bisect_right(self._starts, at) - 1 - self._first}"

    @property
    def _asking_offset(self) -> int:
        return self._offsets[-1] + 1 - len(self.asking) if self._offsets else 0

    def _occurrences(self, text: str) -> list[int]:
        found: list[int] = []
        at = self._text.find(text)
        while at >= 0:
            if not (self._glued(at - 1) or self._glued(at + len(text) - 1)):
                found.append(at)
            at = self._text.find(text, at + 1)
        return found

    def _glued(self, at: int) -> bool:
        """Whether the character at `at` and the next one are of one word or number."""
        if at < 0 or at + 1 >= len(self._text) or self._offsets[at] + 1 != self._offsets[at + 1]:
            return False
        return (self._text[at].isalnum() or self._text[at] == ".") and self._text[at + 1].isalnum()


def words_of(text: str) -> list[str]:
    """Words and signs of `text` in lower case, with `#` for every piece of mathematics."""
    marked = _MATH.sub(lambda m: m.group() if m.group().strip() in ("a", "A", "I") else " # ", text)
    return _WORDS.findall(marked.lower())


def program_skeleton(asked: AskedQuestion, steps: Sequence[PromptStep]) -> str:
    """The program of `steps` without comments and imports, its names and values abstracted."""
    names: dict[str, str] = {}
    kept: list[str] = []
    uses: Counter[str] = Counter()

    def value(text: str, otherwise: str) -> str:
        place = asked.place(text, use=uses[text])
        uses[text] += 1
        return f" {place} " if place else otherwise

    for line in "\n".join(step.text for step in steps).splitlines():
        if _LEFT_OUT.match(line):
            continue
        code = _STRING.sub(lambda m: value(m.group(1) or m.group(2) or "", m.group()), line)
        code = _COUNTS.sub(lambda m: value(m.group(), "counts"), code)
        code = _OPTIONS.sub(r"*=\1(#)", code)
        code = _LONG_NUMBER.sub(lambda m: value(m.group(), m.group()), code)
        targets = _TARGETS.match(line)
        for name in _NAME.findall(targets.group(1)) if targets else ():
            if "#def" in code:
                # A definition is known by where the question asks for it.
                names.setdefault(name, asked.place(name) or "d")
            else:
                names.setdefault(name, f"v{sum(v.startswith('v') for v in names.values())}")
        if "#def" not in code:
            kept.append(code)
    tokens: list[str] = []
    symbols: dict[str, str] = {}
    for token in _CODE.findall(" ; ".join(kept)):
        if tokens and tokens[-1] == ".":  # an attribute is no variable
            tokens.append(token)
        elif len(token) == 1 and token.islower() and token not in names:
            tokens.append(symbols.setdefault(token, f"x{len(symbols)}"))
        else:
            tokens.append(names.get(token, token))
    return " ".join(tokens)


def _asking_start(question: str) -> int:
    """Where the last sentence that ends in a question mark begins, else the last sentence."""
    starts = [0, *(match.end() for match in _SENTENCE_END.finditer(question.rstrip()))]
    asking = [
        start
        for start, end in zip(starts, [*starts[1:], len(question)], strict=True)
        if question[start:end].rstrip().endswith("?")
    ]
    return (asking or starts)[-1]

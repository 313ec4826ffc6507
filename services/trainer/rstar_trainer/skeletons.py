"""What is left of a question or a program when its particulars are taken out.

Two questions that ask the same have one skeleton, and so have two programs that answer
them alike. Values are named by where the question gives them, so `a - b` and `b - a`
differ while `7 - 5` and `94 - 3` do not. What a question defines before it asks, and the
lines of a program that take values from there, are skeletons of their own: whoever is wrong
there says nothing of the rest. Pure text work: no knowledge of any data set, no parsing of
mathematics.

    Let x = 2 + 1. What is x minus 5?
    x = E('2 + 1')                          v = E ( #0 )
    A = E('5')
    print(x - A)                            print ( #0 - #1 )
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise

from rstar_common.formats import PromptStep
from rstar_trainer.shapes import (
    asking_skeleton,
    letters_of,
    mathematics,
    sentence_skeleton,
    wording,
)

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
_STRING = re.compile(r"\"([^\"\n]*)\"|'([^'\n]*)'")
_COUNTS = re.compile(r"\b[a-z]=\d+(?:, ?[a-z]=\d+)*")
_OPTIONS = re.compile(r"\b[a-z]=(\w*)\(? #(?:-?\d+|def) \)?(?:, [a-z]=\1\(? #(?:-?\d+|def) \)?)+")
"""Named values alike: `dict(a=E( #0 ), b=E( #1 ))`. How many there are is a particular."""

_LONG_NUMBER = re.compile(r"(?<![\w.*])\d\d+(?:\.\d+)?|(?<=[=(]\s)\d+(?=\)|$)|(?<=[=(])\d+(?=\)|$)")
_TARGETS = re.compile(r"^([\w\s,()]+?),?\s*=(?!=)")
_TAKEN = re.compile(r"([A-Za-z_]\w*)\s*=\s*E\( (#\d+) \)\s*")
"""A value as the question gives it, under a name."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_DEFINED = re.compile(r"(?<![A-Za-z])([A-Za-z]\w{0,20})(?:\([A-Za-z]\))?\s*(?:=|\bbe\b)")
_CODE = re.compile(r"#-?\d+|#def|[A-Za-z_]\w*|\d+(?:\.\d+)?|\*\*|//|[^\sA-Za-z_0-9]")
_FORMATTED = re.compile(r"(?<![\w.])f(['\"])(.*?)\1")
_FORMAT = re.compile(r":[.\d]*[a-z](?=\})")
"""Letters of a formatted string that are no names."""

_BOUND = re.compile(r"\b(?:for|lambda)\s+([\w\s,]+?)\s*(?:\bin\b|:)")
_LEFT_OUT = re.compile(r"from |import |#|\w+ = lambda ")
"""Lines that compute nothing: imports, comments, helpers."""


class AskedQuestion:
    """A question: what it asks, what it defines before, and where its values stand."""

    def __init__(self, question: str) -> None:
        question = question.rstrip()
        sentences = _sentences(question)
        self.definitions = tuple(sentences[: _asks(sentences)])
        before = "".join(self.definitions)
        self._known = letters_of(before)
        self._start = len(before)
        self.asking = question[self._start :]
        self._ends = list(accumulate(len(one) for one in self.definitions))
        self._named = [frozenset(_NAME.findall(one)) for one in self.definitions]
        self._defined = [frozenset(_DEFINED.findall(one)) for one in self.definitions]
        starts: list[int] = []
        for match in mathematics(question):
            starts.append(match.start())
            # The sides of an equation are values of their own.
            starts += [match.start() + i + 1 for i, c in enumerate(match.group()) if c == "="]
        self._starts = starts
        self._first = bisect_right(starts, self._start - 1)
        kept = [(i, c) for i, c in enumerate(question) if not c.isspace()]
        powers = [(i, sign) for i, c in kept for sign in ("**" if c == "^" else c)]
        self._offsets = [i for i, _ in powers]
        self._text = "".join(c for _, c in powers)

    def skeleton(self, common: Container[str]) -> str:
        """Of the asking part."""
        return asking_skeleton(self.asking, common, known=self._known)

    def definition_skeletons(self, common: Container[str]) -> list[str]:
        """Of each sentence before it."""
        return [sentence_skeleton(one, common) for one in self.definitions]

    def wordings(self, common: Container[str]) -> list[str]:
        """Of each sentence before it, without what is said of its mathematics."""
        return [wording(one, common) for one in self.definitions]

    def place(self, value: str, *, use: int = 0) -> str:
        """Where the question gives `value`: `#def`, `#0`, `#1` …; empty if it does not.

        A value that is asked about twice has two places: the first use takes the first.
        """
        found = self._occurrences(value)
        asked = [at for at in found if self._offsets[at] >= self._start]
        if not asked:
            return "#def" if found else ""
        at = self._offsets[asked[min(use, len(asked) - 1)]]
        return f"#{bisect_right(self._starts, at) - 1 - self._first}"

    def defined_in(self, value: str) -> set[int]:
        """Which of `definitions` give `value`."""
        sentences = {bisect_right(self._ends, self._offsets[at]) for at in self._occurrences(value)}
        return {number for number in sentences if number < len(self.definitions)}

    def home(self, sentences: Sequence[int], names: Sequence[str]) -> int:
        """The first of `sentences` that defines one of `names`, or has one, or the first."""
        defining = [i for i in sentences if not self._defined[i].isdisjoint(names)]
        having = [i for i in sentences if not self._named[i].isdisjoint(names)]
        return [*defining, *having, *sentences][0]

    def _occurrences(self, value: str) -> list[int]:
        text = re.sub(r"\s+", "", value).replace("^", "**")
        if not any(c.isalnum() for c in text):
            return []
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


def program_skeleton(asked: AskedQuestion, steps: Sequence[PromptStep]) -> str:
    """The program of `steps` without comments and imports, its names and values abstracted.

    Lines that take values from definitions are left out, and lines that only name a value: it makes
    no difference whether what is asked about was defined before.
    """
    names: dict[str, str] = {}
    kept: list[str] = []
    uses: Counter[str] = Counter()

    def placed(text: str) -> str:
        uses[text] += 1
        return asked.place(text, use=uses[text] - 1)

    lines = list(_computing(steps))
    given = Counter(name for line in lines for name in (*_targets(line), *_bound(line)))
    taken: dict[str, str] = {}
    for line in lines:
        code = _placed(line, placed)
        named = _TAKEN.fullmatch(code)
        # A name that is given another value, or a second part of one place, stays a name.
        if named and given[named[1]] == 1 and taken.setdefault(named[2], line) == line:
            names[named[1]] = named[2]
            continue
        for name in _targets(line):
            if "#def" in code:
                # A definition is known by where the question asks for it.
                names.setdefault(name, asked.place(name) or "d")
            else:
                names.setdefault(name, f"v{sum(v.startswith('v') for v in names.values())}")
        if "#def" not in code:
            kept.append(code)
    return _abstract(" ; ".join(kept), names)


def definition_skeletons(asked: AskedQuestion, steps: Sequence[PromptStep]) -> list[str]:
    """For each sentence that defines, the lines of `steps` that take values from it; empty if none.

    A line that needs several sentences is of each of them.
    """
    found: list[list[str]] = [[] for _ in asked.definitions]
    for line in _computing(steps):
        given: list[set[int]] = []
        _placed(line, partial(_noted, asked, given))
        if not given:
            continue
        names = _targets(line)
        alike = sorted(set.intersection(*given))
        homes = [asked.home(alike, names)] if alike else sorted(set.union(*given))
        for home in homes:
            code = _placed(line, partial(_seen_from, asked, home))
            found[home].append(_abstract(code, dict.fromkeys(names, "v")))
    return [" ; ".join(lines) for lines in found]


def _noted(asked: AskedQuestion, given: list[set[int]], text: str) -> str:
    place = asked.place(text)
    if place == "#def":
        given.append(asked.defined_in(text))
    return place


def _seen_from(asked: AskedQuestion, home: int, text: str) -> str:
    """`#0` what one's own sentence gives, `#def` what another one, `#1` what is asked about."""
    place = asked.place(text)
    if place == "#def":
        return "#0" if home in asked.defined_in(text) else "#def"
    return place and "#1"


def _computing(steps: Sequence[PromptStep]) -> Iterator[str]:
    for line in "\n".join(step.text for step in steps).splitlines():
        if not _LEFT_OUT.match(line):
            yield line


def _bound(line: str) -> list[str]:
    """Names of loops and functions without a name."""
    return [name for match in _BOUND.finditer(line) for name in _NAME.findall(match[1])]


def _targets(line: str) -> list[str]:
    targets = _TARGETS.match(line)
    return _NAME.findall(targets.group(1)) if targets else []


def _placed(line: str, place: Callable[[str], str]) -> str:
    """`line` with the values that have a place named by it."""

    def named(text: str, otherwise: str) -> str:
        found = place(text)
        return f" {found} " if found else otherwise

    code = _STRING.sub(lambda m: named(m.group(1) or m.group(2) or "", m.group()), line)
    code = _COUNTS.sub(lambda m: named(m.group(), "counts"), code)
    code = _OPTIONS.sub(r"*=\1(#)", code)
    return _LONG_NUMBER.sub(lambda m: named(m.group(), m.group()), code)


def _abstract(code: str, names: dict[str, str]) -> str:
    """`code` with other `names`, and letters that have none numbered as they come."""
    tokens: list[str] = []
    symbols: dict[str, str] = {}
    for token in _CODE.findall(_FORMATTED.sub(_formatted, code)):
        if tokens and tokens[-1] == ".":  # an attribute is no variable
            tokens.append(token)
        elif len(token) == 1 and token.islower() and token not in names:
            tokens.append(symbols.setdefault(token, f"x{len(symbols)}"))
        else:
            tokens.append(names.get(token, token))
    return " ".join(tokens)


def _formatted(string: re.Match[str]) -> str:
    return f"format{string[1]}{_FORMAT.sub(':format', string[2])}{string[1]}"


def _sentences(text: str) -> list[str]:
    """`text` in pieces that begin with a sentence each."""
    starts = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(starts)]


def _asks(sentences: Sequence[str]) -> int:
    """Which is the last that ends in a question mark, else the last."""
    asking = [i for i, one in enumerate(sentences) if one.rstrip().endswith("?")]
    return (asking or [len(sentences) - 1])[-1]

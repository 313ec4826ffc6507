"""What is left of a question or a program when its particulars are taken out.

Two questions that ask the same have one skeleton, and so have two programs that answer
them alike. Of mathematics its shape stays: an answer to `r(3)` is found and written in
another way than one to `r(p(z))`. Values are named by where the question gives them, so
`a - b` and `b - a` differ while `7 - 5` and `94 - 3` do not. What a question defines before
it asks, and the lines of a program that take values from there, are skeletons of their own:
whoever is wrong there says nothing of the rest. Pure text work: no knowledge of any data set,
no parsing of mathematics.

    Let x = 2 + 1. What is x minus 5?       let #xo= .      what is #d minus # ?
    x = E('2 + 1')                          v = E ( # )
    A = E('5')                                              v0 = E ( #1 )
    print(x - A)                                            print ( d - v0 )
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from itertools import accumulate, pairwise

from rstar_common.formats import PromptStep

_ATOM = r"(?:\d+(?:\.\d+)?|(?<![A-Za-z])[A-Za-z](?![A-Za-z]))"
_JOIN = r"(?:\s*(?:\*\*|//|[-+*/^=()]|,(?=\s*[-+(]*\d))+\s*"
_MATH = re.compile(r"[-+(]*" + _ATOM + _JOIN + _ATOM + r")*[)']*")
"""A run of numbers and single letters joined by operators: an expression, or a list."""

_WORDS = re.compile(r"[A-Za-z]+|[^\sA-Za-z]")
_LIST = re.compile(r"#\S*(?: ,(?: and| or)? #\S*)+(?: (?:and|or) #\S*)?|#\S*(?: #\S*)+")
_ARTICLES = ("a", "A", "I")
"""Letters that are words where they stand alone."""
_LETTER = re.compile(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
_APPLIED = re.compile(r"[A-Za-z]\(")
_DECIMAL = re.compile(r"\d\.\d")
_OPERATOR = re.compile(r"[A-Za-z\d)]\s*[-+*/]")
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
    """A question: what it asks, what it defines before, and where its values stand."""

    def __init__(self, question: str) -> None:
        self.question = question
        sentences = _sentences(question)
        asks = _asks(sentences)
        self.definitions = tuple(sentences[:asks])
        self._before = "".join(self.definitions)
        start = len(self._before)
        self.asking = question[start:]
        self._ends = list(accumulate(len(one) for one in self.definitions))
        matches = [m for m in _MATH.finditer(question) if m.group().strip() not in _ARTICLES]
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
        return _sentence_skeleton(self.asking, common, known=self._before)

    def definition_skeletons(self, common: Container[str]) -> list[str]:
        """The same of each sentence before it."""
        return [_sentence_skeleton(one, common) for one in self.definitions]

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

    def defined_in(self, value: str) -> set[int]:
        """Which of `definitions` give `value`."""
        found = self._occurrences(re.sub(r"\s+", "", value).replace("^", "**"))
        sentences = {bisect_right(self._ends, self._offsets[at]) for at in found}
        return {i for i in sentences if i < len(self.definitions)}

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
    return ["#" if word.startswith("#") else word for word in _shaped_words(text, known="")]


def _sentence_skeleton(text: str, common: Container[str], *, known: str = "") -> str:
    words = [
        word if not word.isalpha() or word in common else "_"
        for word in _shaped_words(text, known=known)
    ]
    return _LIST.sub("#*", " ".join(words))


def _shaped_words(text: str, *, known: str) -> list[str]:
    words: list[str] = []
    end = 0
    for match in _MATH.finditer(text):
        if match.group().strip() in _ARTICLES:
            continue
        words += _WORDS.findall(text[end : match.start()].lower())
        words.append("#" + _shape(match.group(), known))
        end = match.end()
    return words + _WORDS.findall(text[end:].lower())


def _shape(value: str, known: str) -> str:
    """What there is in a piece of mathematics, a sign for each.

    `f` a function's value, `d` a letter that is `known`, `x` another letter, `.` a decimal, `o` an
    operation, `=` an equation.
    """
    free = known_letters = False
    applied = {match.start() for match in _APPLIED.finditer(value)}
    for match in _LETTER.finditer(value):
        if match.start() not in applied:
            if _has(known, match.group()):
                known_letters = True
            else:
                free = True
    return "".join(
        sign
        for sign, there in (
            ("f", bool(applied)),
            ("d", known_letters),
            ("x", free),
            (".", bool(_DECIMAL.search(value))),
            ("o", bool(_OPERATOR.search(value))),
            ("=", "=" in value),
        )
        if there
    )


def program_skeleton(asked: AskedQuestion, steps: Sequence[PromptStep]) -> str:
    """The program of `steps` without comments and imports, its names and values abstracted."""
    names: dict[str, str] = {}
    kept: list[str] = []
    uses: Counter[str] = Counter()

    def value(text: str, otherwise: str) -> str:
        place = asked.place(text, use=uses[text])
        uses[text] += 1
        return f" {place} " if place else otherwise

    for line in _computing(steps):
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


def definition_skeletons(asked: AskedQuestion, steps: Sequence[PromptStep]) -> list[str]:
    """For each sentence that defines, the lines of `steps` that take values from it; empty if none.

    Of several sentences that have all a line quotes it belongs to the first that has the name it
    gives, else to the first.
    """
    found: list[list[str]] = [[] for _ in asked.definitions]
    for line in _computing(steps):
        quotes = [a or b for a, b in _STRING.findall(line)]
        quotes = [quote for quote in quotes if asked.place(quote) == "#def"]
        if not quotes:
            continue
        given = sorted(set.intersection(*(asked.defined_in(quote) for quote in quotes)))
        targets = _TARGETS.match(line)
        names = _NAME.findall(targets.group(1)) if targets else []
        named = [i for i in given if any(_has(asked.definitions[i], name) for name in names)]
        for i in (named or given)[:1]:
            found[i].append(_line_skeleton(line, names))
    return [" ; ".join(lines) for lines in found]


def _computing(steps: Sequence[PromptStep]) -> Iterator[str]:
    for line in "\n".join(step.text for step in steps).splitlines():
        if not _LEFT_OUT.match(line):
            yield line


def _has(text: str, letter: str) -> bool:
    return re.search(rf"(?<![A-Za-z]){re.escape(letter)}(?![A-Za-z])", text) is not None


def _line_skeleton(line: str, targets: Sequence[str]) -> str:
    names: dict[str, str] = dict.fromkeys(targets, "v")
    tokens: list[str] = []
    for token in _CODE.findall(_LONG_NUMBER.sub("#0", _STRING.sub("#0", line))):
        if len(token) == 1 and token.islower() and not (tokens and tokens[-1] == "."):
            token = names.setdefault(token, f"x{len(names)}")
        tokens.append(names.get(token, token))
    return " ".join(tokens)


def _sentences(text: str) -> list[str]:
    """`text` in pieces that begin with a sentence each."""
    starts = [0, *(match.end() for match in _SENTENCE_END.finditer(text.rstrip())), len(text)]
    return [text[start:end] for start, end in pairwise(starts)]


def _asks(sentences: Sequence[str]) -> int:
    """Which is the last that ends in a question mark, else the last."""
    asking = [i for i, one in enumerate(sentences) if one.rstrip().endswith("?")]
    return (asking or [len(sentences) - 1])[-1]

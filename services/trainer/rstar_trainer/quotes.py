"""What programs quote from their questions, and other texts that could stand there.

A program copies a piece of the question letter by letter and then works on it as a whole:

    Simplify 2*sqrt(8)/3.       A = E('2*sqrt(8)/3')
    What is next in 1, 4, 9?    A = '1, 4, 9'.split(', ')

Another text of the same kind in both places makes another example of the same program.
Other texts come from other examples, are joined, and get numbers of other lengths: what a
small model learns from them is to copy. Pure text work, no parsing of mathematics.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

LETTERS = "bcdefghijklmnopqrtuvwxyz"
"""Names to choose from. `a` is an article, `s` a variable of the programs' own first lines."""

QUOTED = re.compile(r"(?<!\w)(\w*\(?)'((?:[^'\\\n]|\\.)*)'")
"""What takes a text in a program, and the text, backslashes and all."""

NAME = re.compile(r"(?<![A-Za-z0-9_])[a-z](?![A-Za-z0-9_])")
"""A one-letter name within a quote."""

COMMON_WORD = 3
"""Questions a word must occur in to count as one; other runs of letters are particulars."""

ANOTHER = 0.6
"""Probability that a quote is replaced by another example's."""

JOINED = 0.35
"""Probability that a second one is joined to it."""

OTHER_LENGTH = 0.4
"""Probability that a number gets another length."""

LONGEST = 140
"""Characters of a joined text."""

SHORT = 2
"""Characters of names and digits, which programs use for themselves."""

_LETTERS_ONLY = re.compile(r"[a-z]{2,}")
_WORD = re.compile(r"[A-Za-z]{2,}")
DIGIT = re.compile(r"(?<![0-9A-Za-z_.])[1-9](?![0-9A-Za-z_])")
_NUMBER = re.compile(r"(?<![0-9A-Za-z_.])[1-9]\d*(?![0-9A-Za-z_])")
_DIGITS_AND_LETTERS = re.compile(
    r"(?<![0-9A-Za-z_])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{2,}(?![0-9A-Za-z_])"
)
_JOINTS = ("{} + {}", "{} - ({})", "({})*({})", "({})/({})", "({} - {})", "({}) + {}")


@dataclass(frozen=True, slots=True)
class Kind:
    """What two texts have in common that can stand for each other."""

    use: str
    """What takes the text: `E(`, `Counter(`, empty."""

    form: str
    """`letters`, `equation`, `relation`, `list`, `digits`, `words` or `expression`."""

    calls: tuple[bool, ...] = ()
    """For each one-letter name in order, whether it is called."""

    root: bool = False
    decimal: bool = False


class Quotes:
    """The quotes of a set of examples."""

    def __init__(self, examples: Iterable[tuple[str, Sequence[str]]]) -> None:
        """`examples` are questions with the texts of their programs' steps."""
        examples = list(examples)
        words: Counter[str] = Counter()
        for question, _ in examples:
            words.update(set(_LETTERS_ONLY.findall(question)))
        self._words = {word for word, count in words.items() if count >= COMMON_WORD}
        found: dict[Kind, set[str]] = defaultdict(set)
        for question, programs in examples:
            for text, use in quoted_once(question, programs).values():
                found[self._kind(text, use)].add(text)
        self._texts = {kind: sorted(texts) for kind, texts in found.items()}

    def another(self, text: str, use: str, rng: Random) -> str:
        """A text that can stand where `text` stands: made of others of its kind, renumbered."""
        kind = self._kind(text, use)
        if kind.form == "words":
            return text
        if kind.form == "letters":
            return text if text in self._words else _other_letters(text, rng)
        donors = self._texts.get(kind, [text])
        names = list(_names(text))
        made = _renamed(rng.choice(donors), names) if rng.random() < ANOTHER else text
        if rng.random() < JOINED:
            joined = _joined(made, _renamed(rng.choice(donors), names), kind.form, rng)
            made = joined if len(joined) <= LONGEST else made
        if kind.form == "digits":
            return _DIGITS_AND_LETTERS.sub(lambda match: _other_digits(match[0], rng), made)
        return _NUMBER.sub(lambda match: _other_number(match[0], rng), made)

    def alike(self, text: str, _use: str, rng: Random) -> str:
        """The same text with other digits, or a string of other letters."""
        if self._kind(text, "").form != "letters":
            return DIGIT.sub(lambda _: rng.choice("123456789"), text)
        return text if text in self._words else _other_letters(text, rng)

    def _kind(self, text: str, use: str) -> Kind:
        if _LETTERS_ONLY.fullmatch(text):
            return Kind(use, "letters")
        if " = " in text:
            form = "equation"
        elif any(sign in text for sign in "<>!"):
            form = "relation"
        elif ", " in text:
            form = "list"
        elif _DIGITS_AND_LETTERS.search(text):
            form = "digits"
        elif _WORD.search(text.replace("sqrt", "")):
            form = "words"
        else:
            form = "expression"
        return Kind(use, form, tuple(_names(text).values()), "sqrt" in text, "." in text)


def quoted_once(question: str, programs: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Where the question spells what its programs quote from just one place: the text, its use."""
    uses: dict[str, str] = {}
    for program in programs:
        for match in QUOTED.finditer(program):
            # Texts of signs alone belong to the helpers of the first lines.
            if any(character.isalnum() for character in match[2]) and "\\" not in match[2]:
                uses.setdefault(match[2], match[1])
    unquoted = "\n".join(QUOTED.sub("", program) for program in programs)
    found = [
        (match.start(), text)
        for text in sorted(uses)
        # What also stands outside of quotes, e.g. in another kind of string, would go on standing.
        if len(text) <= SHORT or not _spelled(text).search(unquoted)
        for match in _spelled(text).finditer(question)
    ]
    # Within a longer word or number (`qu` in "sequence") it is not what a program quotes.
    times = Counter(text for _, text in found)
    return {
        start: (text, uses[text])
        for start, text in found
        if times[text] == 1
        and not any(
            other < start + len(text) and start < other + len(longer)
            for other, longer in found
            if (other, longer) != (start, text)
        )
    }


def stands_in(text: str, other: str) -> bool:
    """Whether `other` has `text`, not as a part of a longer word or number."""
    return bool(_spelled(text).search(other))


def _spelled(text: str) -> re.Pattern[str]:
    """Finds `text` where it is no part of a longer word or number; a unit may follow a number."""
    after = r"(?!\d|\.\d)" if text[-1].isdigit() else r"(?!\w)"
    return re.compile(rf"(?<![\w.]){re.escape(text)}{after}")


def _names(text: str) -> dict[str, bool]:
    """One-letter names in the order they occur, and whether each is called."""
    names: dict[str, bool] = {}
    for match in NAME.finditer(text):
        names.setdefault(match[0], text[match.end() : match.end() + 1] == "(")
    return names


def _renamed(text: str, names: Sequence[str]) -> str:
    renamed = dict(zip(_names(text), names, strict=True))
    return NAME.sub(lambda match: renamed[match[0]], text)


def _joined(one: str, other: str, form: str, rng: Random) -> str:
    """A longer text of the same form, or `one` where two do not make one."""
    if form == "list":
        items, more = one.split(", "), other.split(", ")
        at = rng.randint(0, len(items))
        return ", ".join([*items[:at], *more[: rng.randint(1, len(more))], *items[at:]])
    if form == "expression" and (any(sign in one for sign in "+*/") or " - " in one):
        return rng.choice(_JOINTS).format(one, other)
    return one


def _other_letters(text: str, rng: Random) -> str:
    few = rng.sample(LETTERS, rng.randint(1, 8))
    return "".join(rng.choice(few) for _ in range(max(2, len(text) + rng.randint(-1, 4))))


def _other_digits(text: str, rng: Random) -> str:
    return "".join(
        rng.choice("0123456789abcdef") for _ in range(max(2, len(text) + rng.randint(-1, 2)))
    )


def _other_number(text: str, rng: Random) -> str:
    length = len(text)
    if rng.random() < OTHER_LENGTH:
        length = max(1, length + rng.choice((-2, -1, 1, 2, 3)))
    rest = "".join(rng.choice("0123456789") for _ in range(length - 1))
    return rng.choice("123456789") + rest

"""Trains the tokenizer of a policy that starts from random weights.

Byte-level BPE, so that any text encodes. A digit is always a token of its own: numbers of
any length are spelled alike, which is what lets a small model copy them. What opens and
closes a quote and what ends a sentence never melts into what it stands beside, so a piece
of a question has the same tokens where a program quotes it. Lines that many solutions
share, such as imports and comments, are one token each: half of a short program is such
lines.
Markers, padding and end of text are special tokens; text that spells one stays text
(`Encoder` sees to it). The result depends on the corpus and the size alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from rstar_common.errors import InvalidInput
from rstar_common.formats import Marker

PAD = "<|pad|>"
END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKENS = (PAD, END_OF_TEXT, *(marker.value for marker in Marker))
SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)
"""Every byte and every special token."""

MOST_LINES = 64
"""Shared lines that become tokens, if the vocabulary is large enough: a sixteenth of it."""

SHARED_LINE_SHARE = 0.01
"""Share of the texts a line must occur in."""

COMMENT = "#"
"""Begins a line whose digits number a step; nobody copies them."""

BORDER = r" ?\w*[(\[]'|'[)\]]*,?|[.?](?=\s|$)"
"""`E('` and `')` in a program, the full stop or question mark of a sentence."""

SHORTEST_LINE = 8
"""Characters; shorter lines are cheap anyway."""


def shared_lines(texts: Sequence[str], *, at_most: int) -> list[str]:
    """The lines without digits, comments apart, that most texts have, the most saving first.

    A line that is not the first of its text brings its line break along.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        first, *others = text.split("\n")
        counts.update({first, *("\n" + line for line in others)})
    least = max(2.0, SHARED_LINE_SHARE * len(texts))
    shared = [
        line
        for line, count in counts.items()
        if count >= least
        and len(line) >= SHORTEST_LINE
        and (line.startswith(COMMENT) or not any(c.isdigit() for c in line))
    ]
    shared.sort(key=lambda line: (-counts[line] * len(line), line))
    return shared[:at_most]


def train_tokenizer(texts: Iterable[str], *, vocabulary_size: int) -> Tokenizer:
    """Learn a vocabulary of at most `vocabulary_size` tokens from `texts`.

    Raises:
        InvalidInput: the size has no room for bytes and markers.
    """
    if vocabulary_size < SMALLEST_VOCABULARY:
        raise InvalidInput(f"must be at least {SMALLEST_VOCABULARY}", field="shape.vocabulary_size")
    texts = list(texts)
    room = min(MOST_LINES, vocabulary_size // 16, vocabulary_size - SMALLEST_VOCABULARY)
    lines = shared_lines(texts, at_most=room)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(BORDER), behavior="isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - len(lines),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # A shared line is no longer spelled: what is left of the texts decides the merges.
    tokenizer.train_from_iterator(_without(texts, lines), trainer=trainer)
    tokenizer.add_tokens([AddedToken(line, normalized=False) for line in lines])
    return tokenizer


def _without(texts: Sequence[str], lines: Sequence[str]) -> list[str]:
    shared = frozenset(lines)
    kept: list[str] = []
    for text in texts:
        first, *others = text.split("\n")
        parts = [first, *("\n" + line for line in others)]
        kept.append("".join(part for part in parts if part not in shared))
    return kept

"""Trains the tokenizer of a policy that starts from random weights.

Byte-level BPE, so that any text encodes. A digit is always a token of its own: numbers of
any length are spelled alike, which is what lets a small model copy them. Markers, padding
and end of text are special tokens; text that spells one stays text (`Encoder` sees to it).
The result depends on the corpus and the size alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rstar_common.errors import InvalidInput
from rstar_common.formats import Marker

PAD = "<|pad|>"
END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKENS = (PAD, END_OF_TEXT, *(marker.value for marker in Marker))
SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)
"""Every byte and every special token."""


def train_tokenizer(texts: Iterable[str], *, vocabulary_size: int) -> Tokenizer:
    """Learn a vocabulary of at most `vocabulary_size` tokens from `texts`.

    Raises:
        InvalidInput: the size has no room for bytes and markers.
    """
    if vocabulary_size < SMALLEST_VOCABULARY:
        raise InvalidInput(f"must be at least {SMALLEST_VOCABULARY}", field="shape.vocabulary_size")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return tokenizer

"""The tokenizer a policy starts with."""

from __future__ import annotations

import pytest

from rstar_common.errors import InvalidInput
from rstar_common.formats import MINI, Encoder, Marker
from rstar_trainer.tokenizer import SPECIAL_TOKENS, train_tokenizer

CORPUS = [
    *(f"What is {n} plus {n * 7}?" for n in range(40)),
    *(f"# Step 1: add\nfrom sympy import *\nR = {n} + {n * 7}" for n in range(40)),
    *["# Now print the final answer\nprint(R)"] * 40,
]


def tokenizer():
    return train_tokenizer(CORPUS, vocabulary_size=400)


def test_every_digit_is_a_token_of_its_own():
    encoding = tokenizer().encode("20 plus 7 is 27; x10 = 1234567890")
    digits = [token for token in encoding.tokens if any(c.isdigit() for c in token)]
    assert "".join(digits) == "207271012345" + "67890"
    assert all(len(token) == 1 for token in digits)


@pytest.mark.parametrize(
    "text",
    [
        "print(R)",
        "\tif x:\r\n  y",
        "naïve ∫ 数学 🦉",
        "a\nfrom sympy import *\nb",
        "A = [E('x'), '']. Is it?\n",
        " " * 9,
        "\x00",
    ],
)
def test_any_text_comes_back_as_it_was(text):
    trained = tokenizer()
    ids = trained.encode(text, add_special_tokens=False).ids
    assert trained.decode(ids, skip_special_tokens=False) == text


def test_a_piece_of_a_question_has_the_same_tokens_where_a_program_quotes_it():
    pieces = ["(-3)*(20 - (4))", "((x)*(7))", "12 - (-7)", "3 + y(5)"]
    texts = [f"What is {piece}?" for piece in pieces] * 9
    texts += [f"A = [E('{piece}'), E('{piece}')]" for piece in pieces] * 9
    trained = train_tokenizer(texts, vocabulary_size=400)
    for piece in pieces:
        alone = trained.encode(f"'{piece}").tokens[1:]
        asked = trained.encode(f"What is {piece}?").tokens
        quoted = trained.encode(f"A = [E('{piece}'), E('{piece}')]").tokens
        assert asked[-1] == "?"
        assert asked[-4:-1] == alone[-3:]
        assert [quoted[at : at + len(alone)] == alone for at in range(len(quoted))].count(True) == 2


def test_text_cannot_forge_a_marker():
    encoder = Encoder(tokenizer(), MINI)
    forged = "".join(SPECIAL_TOKENS)
    special = {encoder.marker_ids[marker] for marker in Marker} | {0, 1}
    assert not special & set(encoder.encode([forged]))
    assert encoder.encode([Marker.CODE]) == [encoder.marker_ids[Marker.CODE]]


def test_shared_lines_are_one_token():
    trained = tokenizer()
    assert len(trained.encode("# Now print the final answer\nprint(R)").ids) == 2


def test_the_same_corpus_gives_the_same_tokenizer():
    assert tokenizer().to_str() == tokenizer().to_str()


def test_a_vocabulary_too_small_for_bytes_is_refused():
    with pytest.raises(InvalidInput, match="vocabulary_size"):
        train_tokenizer(CORPUS, vocabulary_size=200)

"""Prompts are pieces: text cannot forge a marker, and steps are replayed by their ids."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel

from rstar_common.errors import InvalidInput
from rstar_common.formats import (
    MINI,
    RSTAR,
    Encoder,
    Marker,
    PromptStep,
    StepKind,
    boxed_answer,
)


def byte_tokenizer(*, markers: bool = True) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    if markers:
        tokenizer.add_special_tokens([marker.value for marker in Marker])
    return tokenizer


def test_a_question_that_spells_a_marker_stays_text():
    encoder = Encoder(byte_tokenizer(), MINI)
    ids = encoder.prompt_ids("1 + 1?<|assistant|><code>", [])
    assert ids.count(encoder.marker_ids[Marker.ASSISTANT]) == 1
    assert ids.count(encoder.marker_ids[Marker.CODE]) == 1


def test_a_step_is_replayed_by_its_own_ids_where_they_fit():
    encoder = Encoder(byte_tokenizer(), MINI)
    own = PromptStep(
        text="x", kind=StepKind.CODE, token_ids=(7, 8, 9), tokenizer=encoder.tokenizer_hash
    )
    foreign = PromptStep(text="x", kind=StepKind.CODE, token_ids=(7, 8, 9), tokenizer="other")
    assert encoder.step_ids(own) == [7, 8, 9]
    assert encoder.step_ids(foreign) == encoder.encode(["x", Marker.END_OF_STEP])


def test_only_the_output_of_the_final_code_step_is_shown():
    encoder = Encoder(byte_tokenizer(), MINI)
    printed = PromptStep(text="print(1)", kind=StepKind.CODE, output="secret")
    final = PromptStep(text="print(2)", kind=StepKind.FINAL_CODE, output="2\n")
    assert encoder.format.after_step(printed) == []
    assert encoder.format.after_step(final) == [Marker.OUTPUT, "2", Marker.END_OF_OUTPUT]
    assert RSTAR.after_step(final)[-1] is Marker.ANSWER


def test_a_tokenizer_without_the_markers_is_refused_by_name():
    with pytest.raises(InvalidInput, match=r"<\|user\|>"):
        Encoder(byte_tokenizer(markers=False), MINI)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{12}", "12"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1} or rather \boxed {2}", "2"),
        (r"\boxed{1} then \boxed{2", "1"),
        ("nothing", None),
    ],
)
def test_the_last_balanced_box_is_the_answer(text, answer):
    assert boxed_answer(text) == answer

"""From generated ids to steps, with the markers as tokens."""

from __future__ import annotations

import pytest

from rstar_common.errors import InvalidInput
from rstar_common.formats import MINI, RSTAR, Marker, PromptStep, StepKind
from tests.support.policy_model import EOS, mini_tokenizer
from tests.support.policy_scripted import scripted_prompter, token_ids

CODE = PromptStep(text="x = 1", kind=StepKind.CODE)
FINAL = PromptStep(text="print(x)", kind=StepKind.FINAL_CODE, output="1\n")
ANSWER = PromptStep(text=r"\boxed{1}", kind=StepKind.ANSWER)


@pytest.mark.parametrize(
    ("pieces", "kind", "text"),
    [
        (("x = 1\n", Marker.END_OF_STEP), StepKind.CODE, "x = 1\n"),
        (("print(12)", Marker.END_OF_CODE), StepKind.FINAL_CODE, "print(12)"),
        ((Marker.END_OF_STEP,), StepKind.CODE, ""),
    ],
)
def test_the_closing_marker_tells_the_kind_and_is_not_part_of_the_text(pieces, kind, text):
    reading = scripted_prompter().read(token_ids(*pieces), [])
    assert (reading.kind, reading.text, reading.complete) == (kind, text, True)


@pytest.mark.parametrize(
    "pieces",
    [
        ("x = 1",),
        (),
        ("x = 1", EOS),
        ("x = 1", Marker.USER),
        ("x = 1", Marker.OUTPUT),
        ("x = 1", Marker.END_OF_ANSWER),
    ],
)
def test_a_step_without_its_own_closing_marker_is_incomplete(pieces):
    assert not scripted_prompter().read(token_ids(*pieces), []).complete


def test_in_the_mini_format_the_output_of_final_code_is_the_answer():
    final = token_ids("print(1)", Marker.END_OF_CODE)
    step = token_ids("x = 1", Marker.END_OF_STEP)
    assert scripted_prompter(MINI).read(final, [CODE]).output_is_answer
    assert not scripted_prompter(MINI).read(step, [CODE]).output_is_answer
    assert not scripted_prompter(RSTAR).read(final, [CODE]).output_is_answer


@pytest.mark.parametrize("end", [Marker.END_OF_ANSWER, EOS])
def test_after_final_code_an_answer_is_read_from_its_box(end):
    ids = token_ids(r"It is \boxed{\frac{1}{2}}.", end)
    reading = scripted_prompter(RSTAR).read(ids, [CODE, FINAL])
    assert (reading.kind, reading.answer) == (StepKind.ANSWER, r"\frac{1}{2}")
    assert reading.complete


def test_more_code_where_an_answer_is_due_is_incomplete():
    ids = token_ids("x = 2", Marker.END_OF_STEP)
    assert not scripted_prompter(RSTAR).read(ids, [FINAL]).complete


def test_an_answer_without_a_box_is_complete_and_states_nothing():
    reading = scripted_prompter(RSTAR).read(token_ids("one", Marker.END_OF_ANSWER), [FINAL])
    assert reading.complete
    assert reading.answer is None


@pytest.mark.parametrize(
    ("prompt_format", "path"),
    [(MINI, [FINAL]), (RSTAR, [FINAL, ANSWER]), (RSTAR, [FINAL, CODE]), (RSTAR, [ANSWER, CODE])],
)
def test_nothing_can_follow_a_finished_path(prompt_format, path):
    with pytest.raises(InvalidInput) as failure:
        scripted_prompter(prompt_format).prompt_ids("q", path)
    assert failure.value.field == "path"


def test_generation_stops_at_every_marker_and_at_the_end_of_text():
    tokenizer = mini_tokenizer()
    expected = {tokenizer.token_to_id(token) for token in [EOS, *(m.value for m in Marker)]}
    assert set(scripted_prompter().stop_token_ids) == expected


def test_a_step_is_replayed_by_the_ids_that_made_it():
    prompter = scripted_prompter()
    # Spelled letter by letter: no tokenizer would cut the word like that again.
    odd = [i for letter in "print" for i in token_ids(letter)] + token_ids(Marker.END_OF_STEP)
    own = PromptStep(
        text="print", kind=StepKind.CODE, token_ids=tuple(odd), tokenizer=prompter.tokenizer_hash
    )
    foreign = PromptStep(
        text="print", kind=StepKind.CODE, token_ids=tuple(odd), tokenizer="another"
    )
    assert prompter.prompt_ids("q", [own])[-len(odd) :] == odd
    assert prompter.prompt_ids("q", [foreign])[-2:] == token_ids("print", Marker.END_OF_STEP)

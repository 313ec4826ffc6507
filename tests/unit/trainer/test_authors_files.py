"""Data sets in the form the authors publish: written and read back alike."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rstar_common.errors import InvalidInput
from rstar_common.formats import MAX_SHOWN_OUTPUT, PromptStep, StepKind
from rstar_trainer.authors import (
    pair_records,
    read_pairs,
    read_sft,
    read_steps,
    sft_records,
    step_texts,
)
from rstar_trainer.dataset import parse_tree
from rstar_trainer.lessons import write_examples, write_pairs
from rstar_trainer.pairs import PreferenceGroup, preference_groups
from rstar_trainer.selection import Example
from tests.support.arithmetic_trees import arithmetic_trees

STEPS = (
    PromptStep(text="# Step 1: define\nx = 3", kind=StepKind.CODE),
    PromptStep(text="# Step 2: double\ny = 2 * x", kind=StepKind.CODE),
    PromptStep(
        text="# Now print the final answer\nprint(y)", kind=StepKind.FINAL_CODE, output="6\n"
    ),
    PromptStep(text=r"The result is \boxed{6}.", kind=StepKind.ANSWER),
)
OTHER = PromptStep(text="# Step 2: add\ny = x + 2", kind=StepKind.CODE)
EXAMPLE = Example(question="What is x?", steps=STEPS, mean_q=1.0)

LINE = "\n<|assistant|>: Let's think step by step and solve the problem with code."
FIRST = "<code>\n# Step 1: define\nx = 3\n<end_of_step>"
SECOND = "\n\n# Step 2: double\ny = 2 * x\n<end_of_step>"
PRINTED = (
    "\n\n# Now print the final answer\nprint(y)\n<end_of_code>\n<output>6<end_of_output>"
    "\n<answer>The result is \\boxed{6}.<end_of_answer>"
)


def test_an_example_is_written_with_every_marker_and_newline_in_its_place():
    [record] = sft_records([EXAMPLE])
    assert record == {"query": "What is x?", "response": FIRST + SECOND + PRINTED}


def test_newlines_that_a_model_wrote_around_a_step_are_not_written_twice():
    raw = [replace(step, text=f"\n\n{step.text}\n") for step in STEPS[:3]]
    assert step_texts([*raw, STEPS[3]]) == step_texts(STEPS)


def test_an_output_is_cut_where_a_prompt_cuts_it():
    step = replace(STEPS[2], output=" " + "7" * 9999)
    assert f"<output>{'7' * MAX_SHOWN_OUTPUT}<end_of_output>" in step_texts([step])[0]


def test_an_example_is_read_back_as_it_was():
    assert read_sft(sft_records([EXAMPLE])) == [replace(EXAMPLE, steps=shown(STEPS))]


def test_a_solution_that_breaks_off_keeps_the_steps_it_has():
    steps = read_steps("<code>\nx = 1\n<end_of_step>\n\ny = 2\n<end_of_step>\n\nz")
    assert [step.text for step in steps] == ["x = 1", "y = 2"]


def test_the_indentation_of_a_first_line_is_kept():
    [step] = read_steps("\n    return x\n<end_of_step>")
    assert step.text == "    return x"


def test_a_pair_of_steps_is_written_field_by_field():
    group = PreferenceGroup(
        question="What is x?",
        preferred=(STEPS[:2],),
        rejected=((STEPS[0], OTHER), (STEPS[0], STEPS[2])),
        final=False,
    )
    records = pair_records([group])
    assert [list(record) for record in records] == [
        ["prompt", "neg", "pos", "neg_count", "pos_count"]
    ] * 2
    assert records[0] == {
        "prompt": f"<|user|>:\nWhat is x?{LINE}{FIRST}",
        "neg": "\n\n# Step 2: add\ny = x + 2\n<end_of_step>",
        "pos": SECOND,
        "neg_count": 2,
        "pos_count": 1,
    }
    assert str(records[1]["neg"]).endswith("<end_of_code>\n<output>6<end_of_output>")


def test_a_pair_of_first_steps_has_the_line_of_the_assistant_in_its_prompt():
    group = PreferenceGroup(
        question="What is x?", preferred=(STEPS[:1],), rejected=((OTHER,),), final=False
    )
    [record] = pair_records([group])
    assert record["prompt"] == f"<|user|>:\nWhat is x?{LINE}"
    assert record["pos"] == FIRST
    assert record["neg"] == "<code>\n# Step 2: add\ny = x + 2\n<end_of_step>"


def test_a_pair_of_trajectories_has_the_question_alone_for_a_prompt():
    group = PreferenceGroup(
        question="What is x?", preferred=(STEPS,), rejected=(STEPS[:3],), final=True
    )
    [record] = pair_records([group])
    assert record["prompt"] == "<|user|>:\nWhat is x?"
    assert record["pos"] == LINE + FIRST + SECOND + PRINTED
    assert str(record["neg"]).startswith(f"{LINE}<code>\n")


def test_every_side_ends_at_a_closing_marker_and_goes_on_from_its_prompt():
    for group in some_groups(per_side=2):
        for record in pair_records([group]):
            assert not str(record["prompt"]).endswith("\n")
            for side, lines in (("pos", group.preferred), ("neg", group.rejected)):
                text = str(record[side])
                assert text.endswith(("<end_of_step>", "<end_of_output>", "<end_of_answer>"))
                assert f"{record['prompt']}{text}" in {
                    f"<|user|>:\n{group.question}{LINE}{''.join(step_texts(line))}"
                    for line in lines
                }


@pytest.mark.parametrize("per_side", [1, 2])
def test_pairs_are_read_back_as_the_groups_they_were(per_side):
    groups = some_groups(per_side=per_side)
    assert {group.final for group in groups} == {True, False}
    assert any(group.pairs > 1 for group in groups) == (per_side > 1)
    assert read_pairs(pair_records(groups)) == [
        replace(
            group,
            preferred=tuple(map(shown, group.preferred)),
            rejected=tuple(map(shown, group.rejected)),
            q_preferred=(),
            q_rejected=(),
            search_id="",
            problem_id="",
        )
        for group in groups
    ]


THEIRS = {
    "prompt": "<|user|>:\nWhich bean is left?\n Write a program.",
    "neg": (
        f"{LINE}<code>\nimport math\n\n# Step 1: count\nbeans = 20\n<end_of_step>"
        "\n\n# Step 2: choose\n bean = beans\n<end_of_step><end_of_code>"
        "<output>IndentationError: unexpected indent (<unknown>, line 6)<end_of_output>"
    ),
    "pos": (
        f"{LINE}<code>\n# Step 1: count\nbeans = 20\n<end_of_step>\n\n\n\n# Step 2: choose\n"
        'bean = ["red", "black"][beans % 2]\n<end_of_step>\n\n'
        "# Now print the final answer\nprint(bean)\n<end_of_code>\n<output>red<end_of_output>"
        " <answer>What is left is \\boxed{red}.\n<end_of_answer>"
    ),
    "neg_count": 2,
    "pos_count": 2,
}
"""Laid out as theirs, with all that is irregular in them; the words are ours."""


def test_trajectories_of_the_authors_are_read_field_by_field():
    [group] = read_pairs([THEIRS])
    assert group.question == "Which bean is left?\n Write a program."
    assert group.final
    [preferred], [rejected] = group.preferred, group.rejected
    assert [(step.kind, step.text, step.output) for step in rejected] == [
        (StepKind.CODE, "import math\n\n# Step 1: count\nbeans = 20", ""),
        (
            StepKind.FINAL_CODE,
            "# Step 2: choose\n bean = beans",
            "IndentationError: unexpected indent (<unknown>, line 6)",
        ),
    ]
    assert [(step.kind, step.text, step.output) for step in preferred] == [
        (StepKind.CODE, "# Step 1: count\nbeans = 20", ""),
        (StepKind.CODE, '# Step 2: choose\nbean = ["red", "black"][beans % 2]', ""),
        (StepKind.FINAL_CODE, "# Now print the final answer\nprint(bean)", "red"),
        (StepKind.ANSWER, "What is left is \\boxed{red}.\n", ""),
    ]


def test_steps_of_the_authors_are_read_and_written_again_byte_for_byte():
    records = [
        {
            "prompt": (
                f"<|user|>:\nHow heavy are $n$ apples? {LINE}<code>\nimport math\n\n# Step 1: one\n"
                "apple = 0.2\n<end_of_step>\n\n# Step 2: a bag\nbag = 6\n<end_of_step>"
            ),
            "neg": f"\n\n# Step 3: {n} bags\nweight = bag * {n}\n<end_of_step>",
            "pos": "\n\n# Step 3: all\nweight = apple * bag\n<end_of_step>",
            "neg_count": 4,
            "pos_count": 1,
        }
        for n in (1, 2, 3, 4)
    ]
    [group] = read_pairs(records)
    assert (group.question, group.final) == ("How heavy are $n$ apples? ", False)
    assert [[step.text for step in line[:2]] for line in (*group.preferred, *group.rejected)] == [
        ["import math\n\n# Step 1: one\napple = 0.2", "# Step 2: a bag\nbag = 6"]
    ] * 5
    assert [line[2].text for line in group.rejected] == [
        f"# Step 3: {n} bags\nweight = bag * {n}" for n in (1, 2, 3, 4)
    ]
    assert pair_records([group]) == records


def test_examples_of_the_authors_are_read_and_written_again_byte_for_byte():
    record = {
        "query": "How heavy is a bag?\n .",
        "response": (
            "<code>\nfrom sympy import symbols\n\n# Name it\nx = symbols('x')\n<end_of_step>"
            "\n\n# Now print the final answer\nprint(x + 1)\n<end_of_code>"
            "\n<output>x + 1<end_of_output>"
            "\n<answer>It is \\boxed{x + 1}.\n<end_of_answer>"
        ),
    }
    [example] = read_sft([record])
    assert [step.kind for step in example.steps] == [
        StepKind.CODE,
        StepKind.FINAL_CODE,
        StepKind.ANSWER,
    ]
    assert sft_records([example]) == [record]


def a_pair(pos: str, neg: str, *, question: str = "?") -> dict[str, object]:
    texts = {
        name: f"<code>\n{text}\n<end_of_step>" for name, text in {"pos": pos, "neg": neg}.items()
    }
    return {"prompt": f"<|user|>:\n{question}{LINE}", **texts}


def groups_of(*pairs: str) -> list[tuple[list[str], list[str]]]:
    """Pairs such as `a>x` of one prompt, as the groups they are read into."""
    return [
        ([line[0].text for line in group.preferred], [line[0].text for line in group.rejected])
        for group in read_pairs([a_pair(*pair.split(">")) for pair in pairs])
    ]


def test_the_pairs_of_a_prompt_are_one_group_in_any_order():
    assert groups_of("a>x", "b>y", "b>x", "a>y") == [(["a", "b"], ["x", "y"])]


def test_pairs_of_two_trees_with_one_prompt_are_two_groups():
    assert groups_of("a>x", "a>y", "c>z") == [(["a"], ["x", "y"]), (["c"], ["z"])]


def test_a_pair_that_no_record_holds_is_not_taught():
    # The authors leave out pairs below a margin, so that three of four may remain.
    assert groups_of("a>x", "a>y", "b>x") == [(["a"], ["x", "y"]), (["b"], ["x"])]


def test_the_same_pair_twice_is_one():
    assert groups_of("a>x", "a>x") == [(["a"], ["x"])]


def test_questions_and_kinds_of_pairs_are_kept_apart():
    whole = {**a_pair("a", "x"), "prompt": "<|user|>:\n?"}
    records = [a_pair("a", "x"), a_pair("a", "x", question="??"), whole]
    assert [(g.question, g.final, g.pairs) for g in read_pairs(records)] == [
        ("?", False, 1),
        ("??", False, 1),
        ("?", True, 1),
    ]


@pytest.mark.parametrize(
    "record", [{"prompt": "?"}, {**a_pair("a", "x"), "pos": "no step"}, {**THEIRS, "neg": None}]
)
def test_a_pair_that_is_none_is_named(record):
    with pytest.raises(InvalidInput, match=r"\[1\]"):
        read_pairs([THEIRS, record])


def shown(steps):
    """Steps with what a prompt shows of their outputs."""
    return tuple(replace(step, output=step.output.strip()[:MAX_SHOWN_OUTPUT]) for step in steps)


def some_groups(*, per_side):
    return [
        group
        for tree in arithmetic_trees(3)
        for group in preference_groups(
            parse_tree(tree.SerializeToString()), per_side=per_side, min_margin=0.1
        )
    ]


@pytest.mark.parametrize("record", [{"query": "?"}, {"query": "?", "response": "no code"}])
def test_a_record_that_is_none_is_named(record):
    with pytest.raises(InvalidInput, match=r"\[1\]"):
        read_sft([*sft_records([EXAMPLE]), record])


def test_data_sets_lie_beside_each_other_in_both_forms(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    tree = parse_tree(arithmetic_trees(1)[0].SerializeToString())
    write_examples(tmp_path, [EXAMPLE], {})
    write_pairs(tmp_path, preference_groups(tree, per_side=2, min_margin=0.1))
    [row] = parquet.read_table(tmp_path / "sft.parquet").to_pylist()
    assert [step["text"] for step in row["steps"]] == [step.text for step in STEPS]
    rows = parquet.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert len(rows) == len(json.loads((tmp_path / "pairs.json").read_text()))
    assert {row["search_id"] for row in rows} == {tree.search_id}

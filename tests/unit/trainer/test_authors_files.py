"""Data sets in the form the authors publish: written and read back alike."""

from __future__ import annotations

import json

import pytest

from rstar_common.errors import InvalidInput
from rstar_common.formats import PromptStep, StepKind
from rstar_trainer.authors import pair_records, read_pairs, read_sft, read_steps, sft_records
from rstar_trainer.dataset import parse_tree
from rstar_trainer.lessons import write_examples, write_pairs
from rstar_trainer.pairs import preference_groups
from rstar_trainer.selection import Example
from tests.support.arithmetic_trees import arithmetic_trees

STEPS = (
    PromptStep(text="# Step 1: define\nx = 3", kind=StepKind.CODE),
    PromptStep(
        text="# Now print the final answer\nprint(x)", kind=StepKind.FINAL_CODE, output="3\n"
    ),
    PromptStep(text=r"The result is \boxed{3}.", kind=StepKind.ANSWER),
)
EXAMPLE = Example(question="What is x?", steps=STEPS, mean_q=1.0)


def test_an_example_is_written_with_every_marker_in_its_place():
    [record] = sft_records([EXAMPLE])
    assert record == {
        "query": "What is x?",
        "response": (
            "<code>\n# Step 1: define\nx = 3\n<end_of_step>\n"
            "\n# Now print the final answer\nprint(x)\n<end_of_code>\n<output>3\n<end_of_output>"
            "\n<answer>The result is \\boxed{3}.<end_of_answer>"
        ),
    }


def test_an_example_is_read_back_as_it_was():
    assert read_sft(sft_records([EXAMPLE])) == [EXAMPLE]


def test_a_solution_that_breaks_off_keeps_the_steps_it_has():
    steps = read_steps("\nx = 1\n<end_of_step>\ny = 2\n<end_of_step>\nz")
    assert [step.text for step in steps] == ["x = 1", "y = 2"]


def test_pairs_are_read_back_as_they_were():
    tree = parse_tree(arithmetic_trees(1)[0].SerializeToString())
    groups = preference_groups(tree, per_side=1, min_margin=0.1)
    assert any(group.final for group in groups)
    back = read_pairs(pair_records(groups))
    assert [(g.question, texts(g.preferred), texts(g.rejected)) for g in back] == [
        (g.question, texts(g.preferred), texts(g.rejected)) for g in groups
    ]


def texts(lines):
    return [[(step.text, step.kind) for step in line] for line in lines]


@pytest.mark.parametrize("record", [{"query": "?"}, {"query": "?", "response": "no code"}])
def test_a_record_that_is_none_is_named(record):
    with pytest.raises(InvalidInput, match=r"\[1\]"):
        read_sft([*sft_records([EXAMPLE]), record])


def test_data_sets_lie_beside_each_other_in_both_forms(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    tree = parse_tree(arithmetic_trees(1)[0].SerializeToString())
    write_examples(tmp_path, [EXAMPLE])
    write_pairs(tmp_path, preference_groups(tree, per_side=2, min_margin=0.1))
    [row] = parquet.read_table(tmp_path / "sft.parquet").to_pylist()
    assert [step["text"] for step in row["steps"]] == [step.text for step in STEPS]
    rows = parquet.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert len(rows) == len(json.loads((tmp_path / "pairs.json").read_text()))
    assert {row["search_id"] for row in rows} == {tree.search_id}

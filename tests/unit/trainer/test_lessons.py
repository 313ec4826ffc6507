"""What is stored of a data set, and what can be made again from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rstar_common.formats import PromptStep, StepKind
from rstar_common.streams import token
from rstar_trainer.apart import Apart
from rstar_trainer.datacard import COLUMNS
from rstar_trainer.dataset import SearchTree, read_trees
from rstar_trainer.lessons import CURVE, note_curve, write_examples, write_pairs, write_values
from rstar_trainer.pairs import PreferenceGroup, ValuedSteps, preference_groups, valued_steps
from rstar_trainer.ppm_job import find_lessons, group_variants, valued_variants
from rstar_trainer.selection import select_examples
from rstar_trainer.spec import Objective, PpmSpec
from tests.support.arithmetic_trees import arithmetic_trees

BATCHES = ("mini/r0/search", "mini/r1/search")


@pytest.fixture(params=["parquet", "jsonl"])
def rows_of(request, tmp_path, monkeypatch):
    """Reads a table back, with pyarrow and without."""
    if request.param == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        return lambda name: parquet.read_table(tmp_path / f"{name}.parquet").to_pylist()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    return lambda name: [
        json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()
    ]


def searched(directory: Path, *, count: int = 40) -> list[SearchTree]:
    """The trees of two batches that searched the same problems, as a job finds them."""
    for batch_id in BATCHES:
        for tree in arithmetic_trees(count):
            tree.search_id = f"{token(batch_id)[:4]}-{tree.problem.problem_id}"
            (directory / f"{token(batch_id)}-{tree.search_id}.pb").write_bytes(
                tree.SerializeToString()
            )
    return list(read_trees(sorted(directory.glob("*.pb")), batch_ids=BATCHES))


def steps_of(row: list[dict[str, str]]) -> tuple[PromptStep, ...]:
    return tuple(
        PromptStep(text=one["text"], kind=StepKind(one["kind"]), output=one["output"])
        for one in row
    )


def groups_of(rows: list[dict[str, Any]]) -> list[PreferenceGroup]:
    """The groups that pairs are stored of."""
    groups: dict[int, PreferenceGroup] = {}
    for row in rows:
        known = groups.get(row["group"]) or PreferenceGroup(
            question=row["question"], preferred=(), rejected=(), final=row["final"]
        )
        sides = {side: steps_of(row[side]) for side in ("preferred", "rejected")}
        groups[row["group"]] = replace(
            known,
            **{
                side: (*getattr(known, side), *({path} - set(getattr(known, side))))
                for side, path in sides.items()
            },
        )
    return [groups[number] for number in sorted(groups)]


def without_origin(groups: Iterable[PreferenceGroup]) -> list[PreferenceGroup]:
    def bare(path: tuple[PromptStep, ...]) -> tuple[PromptStep, ...]:
        return tuple(replace(step, token_ids=(), tokenizer="") for step in path)

    return [
        PreferenceGroup(
            question=one.question,
            preferred=tuple(bare(path) for path in one.preferred),
            rejected=tuple(bare(path) for path in one.rejected),
            final=one.final,
        )
        for one in groups
    ]


def test_two_rounds_that_search_the_same_problems_teach_what_one_does(tmp_path):
    trees = searched(tmp_path)
    spec = PpmSpec(batch_ids=BATCHES, min_margin=0.1)
    once, twice = (find_lessons(some, spec) for some in (trees[: len(trees) // 2], trees))
    assert [one.search_id for one in twice.groups] == [one.search_id for one in once.groups]
    assert twice.groups == once.groups
    assert twice.measured == once.measured
    assert twice.measured
    assert twice.repeated_pairs == sum(one.pairs for one in once.groups) > 0
    assert once.repeated_pairs == 0


def test_rows_of_pairs_tell_q_and_batch(tmp_path, rows_of):
    trees = searched(tmp_path, count=3)
    groups = preference_groups(trees[0], per_side=2, min_margin=0.1)
    groups += preference_groups(trees[-1], per_side=2, min_margin=0.1)
    given = replace(groups[0], q_preferred=(), q_rejected=(), search_id="", batch_id="")
    write_pairs(tmp_path, [*groups, given])
    rows = rows_of("pairs")
    first = groups[0]
    assert [(row["q_preferred"], row["q_rejected"]) for row in rows[: first.pairs]] == [
        (better, worse) for better in first.q_preferred for worse in first.q_rejected
    ]
    assert all(row["q_preferred"] - row["q_rejected"] >= 0.1 for row in rows[: -given.pairs])
    assert {row["q_preferred"] for row in rows[-given.pairs :]} == {None}
    assert {row["batch_id"] for row in rows} == {*BATCHES, ""}
    assert {tuple(row) for row in rows} == {tuple(COLUMNS["pairs"])}


def test_rows_of_a_regression_are_steps_with_their_q(tmp_path, rows_of):
    [tree, *_] = searched(tmp_path, count=3)
    valued = valued_steps(tree)
    write_values(tmp_path, valued)
    rows = rows_of("values")
    assert [(steps_of(row["steps"]), row["q"]) for row in rows] == [
        (path, q) for one in valued for path, q in zip(one.paths, one.values, strict=True)
    ]
    assert len({row["q"] for row in rows}) > 2
    assert {row["group"] for row in rows} == set(range(len(valued)))
    assert {row["search_id"] for row in rows} == {tree.search_id}
    assert {row["batch_id"] for row in rows} == {tree.batch_id} < set(BATCHES)
    assert {tuple(row) for row in rows} == {tuple(COLUMNS["values"])}


def test_rows_of_examples_tell_their_batch(tmp_path, rows_of):
    trees = searched(tmp_path, count=3)
    batches = {tree.search_id: tree.batch_id for tree in trees}
    examples = select_examples(trees, per_problem=1, agreement=None).examples
    given = replace(examples[0], search_id="", problem_id="")
    write_examples(tmp_path, [*examples, given], batches)
    rows = rows_of("sft")
    assert [row["batch_id"] for row in rows] == [*(batches[e.search_id] for e in examples), ""]
    assert set(batches.values()) == set(BATCHES)
    assert {tuple(row) for row in rows} == {tuple(COLUMNS["sft"])}


def test_a_tree_of_a_file_that_names_no_batch_is_of_none(tmp_path):
    [tree] = arithmetic_trees(1)
    (tmp_path / f"{tree.search_id}.pb").write_bytes(tree.SerializeToString())
    assert [one.batch_id for one in read_trees([*tmp_path.glob("*.pb")], batch_ids=BATCHES)] == [""]


def test_variants_of_pairs_can_be_made_again_from_the_rows_and_the_seed(tmp_path, rows_of):
    found = find_lessons(searched(tmp_path), PpmSpec(batch_ids=BATCHES, min_margin=0.1))
    write_pairs(tmp_path, found.groups)
    made, again = (
        without_origin(group_variants(groups, 2, Random(7), Apart(())))
        for groups in (found.groups, groups_of(rows_of("pairs")))
    )
    assert len(made) > len(found.groups)
    assert again == made


def test_variants_of_valued_steps_can_be_made_again_from_the_rows_and_the_seed(tmp_path, rows_of):
    spec = PpmSpec(batch_ids=BATCHES, objective=Objective.Q_REGRESSION)
    found = find_lessons(searched(tmp_path, count=12), spec)
    assert not found.groups
    write_values(tmp_path, found.valued)
    siblings: dict[int, ValuedSteps] = {}
    for row in rows_of("values"):
        known = siblings.get(row["group"])
        paths, values = (known.paths, known.values) if known else ((), ())
        siblings[row["group"]] = ValuedSteps(
            question=row["question"],
            paths=(*paths, steps_of(row["steps"])),
            values=(*values, row["q"]),
        )
    made = list(valued_variants(found.valued, 2, Random(7), Apart(())))
    again = list(valued_variants([siblings[n] for n in sorted(siblings)], 2, Random(7), Apart(())))
    assert [(one.question, one.paths, one.values) for one in again] == [
        (one.question, one.paths, one.values) for one in made
    ]
    assert made


def test_a_step_that_is_trained_again_is_once_in_the_curve(tmp_path: Path) -> None:
    for step, loss in ((1, 4.0), (2, 3.0), (3, 2.5), (2, 3.5), (3, 2.0)):
        note_curve(tmp_path, {"step": step, "loss": loss, "examples": 7.0})
    points = [json.loads(line) for line in (tmp_path / CURVE).read_text().splitlines()]
    assert points == [
        {"step": 1, "loss": 4.0},
        {"step": 2, "loss": 3.5},
        {"step": 3, "loss": 2.0},
    ]

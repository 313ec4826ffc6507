"""The scoring benchmark asks as a tree search would."""

from __future__ import annotations

from rstar_ppm.bench_requests import SIBLINGS, tree_of

QUESTION = "What is 12 + 30?"


def test_a_tree_is_a_function_of_its_question_and_seed():
    assert tree_of(QUESTION, 3) == tree_of(QUESTION, 3)
    assert tree_of(QUESTION, 3) != tree_of(QUESTION, 4)


def test_every_path_leads_along_steps_that_were_scored_before():
    scored: set[tuple[str, ...]] = {()}
    places = set()
    for request in tree_of(QUESTION, 0).requests:
        path = tuple(step.text for step in request.path)
        assert path in scored
        assert len(request.siblings) == SIBLINGS
        places.add(path)
        scored |= {(*path, step.text) for step in request.siblings}
    assert max(map(len, places)) == 3

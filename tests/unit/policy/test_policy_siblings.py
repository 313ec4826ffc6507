"""Which samples are cut off is decided by lengths, whatever came first and whoever was aborted."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rstar_policy.generation import Generation
from rstar_policy.siblings import Siblings


def sample(length: int, *, aborted: bool = False) -> Generation:
    return Generation(
        token_ids=list(range(length)),
        logprobs=[-0.5] * length,
        prompt_tokens=1,
        cached_tokens=0,
        weight_version="v1",
        aborted=aborted,
    )


def test_what_is_longer_than_enough_of_its_siblings_is_cut_off_at_the_longest_of_those():
    siblings = Siblings(4, enough=2)
    for index, length in ((0, 9), (2, 4)):
        siblings.add(index, sample(length))
    siblings.add(1, sample(9, aborted=True))
    siblings.add(3, sample(11, aborted=True))
    assert not siblings.missing()
    assert [len(each.token_ids) for each in siblings.cut()] == [9, 9, 4, 9]
    assert [len(each.logprobs) for each in siblings.cut()] == [9, 9, 4, 9]


def test_a_sample_aborted_before_it_had_come_that_far_is_sampled_anew_up_to_the_limit():
    siblings = Siblings(3, enough=1)
    assert siblings.wanted == 1
    siblings.add(0, sample(7))
    siblings.add(1, sample(7, aborted=True))
    siblings.add(2, sample(3, aborted=True))
    assert (siblings.missing(), siblings.limit, siblings.wanted) == ([2], 7, 0)
    siblings.add(2, sample(5))
    # It was the shortest all along.
    assert [len(each.token_ids) for each in siblings.cut()] == [5, 5, 5]


def test_without_a_number_that_is_enough_only_what_others_aborted_is_sampled_anew():
    siblings = Siblings(2, enough=0)
    siblings.add(0, sample(5))
    siblings.add(1, sample(5_000, aborted=True))
    assert siblings.missing() == [1]
    siblings.add(1, sample(6_000))
    assert [len(each.token_ids) for each in siblings.cut()] == [5, 6_000]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_lengths_alone_decide_whatever_the_engine_did_when(data):
    lengths = data.draw(st.lists(st.integers(1, 30), min_size=2, max_size=8))
    enough = data.draw(st.integers(1, len(lengths) - 1))
    siblings = Siblings(len(lengths), enough=enough)
    for _ in range(10):
        missing, limit = siblings.missing(), siblings.limit
        for index in missing:
            whole = min(lengths[index], limit)
            came = data.draw(st.integers(0, whole))
            siblings.add(index, sample(came, aborted=came < whole))
    for index in siblings.missing():
        siblings.add(index, sample(min(lengths[index], siblings.limit)))
    for index in siblings.missing():
        siblings.add(index, sample(min(lengths[index], siblings.limit)))
    expected = sorted(lengths)[enough - 1]
    assert [len(each.token_ids) for each in siblings.cut()] == [
        min(length, expected) for length in lengths
    ]
